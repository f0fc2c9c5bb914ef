// The colours of heatmaps, as the service draws them: dark to bright with an even rise in lightness.

// Matt Zucker's polynomial in t (powers 0 to 6) of matplotlib's `inferno`; dgad/evaluation/heatmaps.py has the same.
const INFERNO = [
  [0.0002189403691192265, 0.001651004631001012, -0.01948089843709184],
  [0.1065134194856116, 0.5639564367884091, 3.932712388889277],
  [11.60249308247187, -3.972853965665698, -15.9423941062914],
  [-41.70399613139459, 17.43639888205313, 44.35414519872813],
  [77.162935699427, -33.40235894210092, -81.80730925738993],
  [-71.31942824499214, 32.62606426397723, 73.20951985803202],
  [25.13112622477341, -12.24266895238567, -23.07032500287172],
];

/**
 * RGBA of the values 0 to 255, one after the other: the higher the less clear, so that what is as in good parts
 * leaves the photograph as it is. Along this scale the strongest channel goes about as the square root of the value.
 */
export function heatColours() {
  const table = new Uint8ClampedArray(256 * 4);
  for (let value = 0; value < 256; value += 1) {
    const t = value / 255;
    for (let channel = 0; channel < 3; channel += 1) {
      table[4 * value + channel] = 255 * INFERNO.reduceRight((sum, power) => sum * t + power[channel], 0);
    }
    table[4 * value + 3] = Math.max(table[4 * value], table[4 * value + 1], table[4 * value + 2]);
  }
  return table;
}
