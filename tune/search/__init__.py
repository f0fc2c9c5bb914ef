"""The search itself: sampler, scheduler, trainable, selection and its seal, refits."""
