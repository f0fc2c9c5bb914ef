// Sending files with progress, which `fetch` does not tell.

import { address, insist } from "./api.js";

/**
 * POST `files` as multipart to `path`; resolves to the JSON of the answer. `onprogress(fraction)` tells how much
 * is sent, 1 once the service has it all.
 */
export async function upload(path, files, { headers = {}, signal, onprogress, onwait }) {
  const answer = await insist((key) => send(path, files, key, { headers, signal, onprogress }),
    { signal, onwait });
  return JSON.parse(await answer.text());
}

function send(path, files, key, { headers, signal, onprogress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const end = (finish, value) => {
      signal?.removeEventListener("abort", stop);
      finish(value);
    };
    request.open("POST", address(path));
    request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onprogress(event.loaded / event.total);
    });
    request.upload.addEventListener("load", () => onprogress(1));
    request.addEventListener("load", () => end(resolve, { status: request.status,
      header: (name) => request.getResponseHeader(name), text: async () => request.responseText }));
    request.addEventListener("error", () => end(reject, new Error("no answer")));
    request.addEventListener("abort", () => end(reject, new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", stop, { once: true });
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    request.send(form);
  });
}
