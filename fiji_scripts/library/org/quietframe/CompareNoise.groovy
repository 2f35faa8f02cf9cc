package org.quietframe

import groovy.transform.CompileStatic

/**
 * Whether an independent repeat contradicts a result: z = sum(repeat - result) / sqrt(sum(variances)) over 5 x 5 pixels.
 * quietframe/judge/honesty.py for ImageJ, which says what it means.
 */
@CompileStatic
class CompareNoise {

    static final double Z_LIMIT = 4.5d
    static final int BOX = 5
    private static final double OUTLIER_SIGMA = 6
    private static final double MAX_LEFT_OUT = 0.02d
    private static final int SMALLEST = 200
    private static final int CLASSES = 16

    private final int width, height
    private final float[] noisy, repeat
    private final boolean[] finite
    private final int pixels

    private CompareNoise(float[] noisy, float[] result, float[] repeat, int width) {
        this.width = width
        this.height = noisy.length.intdiv(width) as int
        this.noisy = noisy
        this.repeat = repeat
        finite = new boolean[noisy.length]
        int count = 0
        for (int i = 0; i < finite.length; i++) {
            // 0 for numbers, NaN for what is infinite or none
            finite[i] = noisy[i] * 0f + result[i] * 0f + repeat[i] * 0f == 0f
            count += finite[i] ? 1 : 0
        }
        pixels = count
    }

    /** The z map of one plane: positive where the result is too dark; 0 where nothing can be said. */
    static float[] zMap(float[] noisy, float[] result, float[] repeat, int width) {
        if (width < BOX || noisy.length.intdiv(width) < BOX) {
            throw new Problem("a z-map needs at least ${BOX} x ${BOX} pixels; the picture has ${width} x ${noisy.length.intdiv(width)}")
        }
        CompareNoise noise = new CompareNoise(noisy, result, repeat, width)
        double[] variance = noise.variances()
        boolean[] use = noise.agreeing(variance)
        int kept = noise.count(use)
        if (noise.pixels - kept > MAX_LEFT_OUT * noise.pixels) {
            use = noise.finite // more than that is not outliers, the noise is not understood
        }
        return noise.z(result, variance, use)
    }

    private float[] z(float[] result, double[] variance, boolean[] use) {
        double[] above = new double[result.length], below = new double[result.length]
        for (int i = 0; i < result.length; i++) {
            above[i] = use[i] ? repeat[i] - (double) result[i] : 0.0d
            below[i] = use[i] ? variance[i] : 0.0d
        }
        above = boxSums(above)
        below = boxSums(below)
        float[] z = new float[result.length]
        for (int i = 0; i < z.length; i++) {
            z[i] = use[i] && below[i] > 0 ? (float) (above[i] / Math.sqrt(below[i])) : 0f
        }
        return z
    }

    /** var_noisy + var_repeat per pixel; outliers raise what they are judged by, so it is learned without them. */
    private double[] variances() {
        double[] both = learned(finite)
        int before = pixels
        for (int round = 0; round < 3; round++) {
            boolean[] kept = agreeing(both)
            int now = count(kept)
            if (now == before || now < (1 - MAX_LEFT_OUT) * pixels) {
                break
            }
            before = now
            both = learned(kept)
        }
        return both
    }

    private boolean[] agreeing(double[] variance) {
        boolean[] kept = new boolean[finite.length]
        for (int i = 0; i < kept.length; i++) {
            kept[i] = finite[i] && Math.abs(noisy[i] - (double) repeat[i]) <= OUTLIER_SIGMA * Math.sqrt(variance[i])
        }
        return kept
    }

    private int count(boolean[] mask) {
        int count = 0
        for (int i = 0; i < mask.length; i++) {
            count += mask[i] ? 1 : 0
        }
        return count
    }

    /** The squared differences as a function of the local brightness. */
    private double[] learned(boolean[] keep) {
        int size = keep.length
        double[] weight = new double[size], sum = new double[size]
        for (int i = 0; i < size; i++) {
            weight[i] = keep[i] ? 1.0d : 0.0d
            sum[i] = keep[i] ? noisy[i] + (double) repeat[i] : 0.0d
        }
        weight = boxSums(weight)
        sum = boxSums(sum)
        double[] brightness = new double[size]
        for (int i = 0; i < size; i++) {
            brightness[i] = sum[i] / Math.max(weight[i], 0.5d)
        }
        double[][] curve = classes(brightness, keep)
        return along(brightness, curve[0], curve[1])
    }

    /** Mean brightness and mean squared difference of classes of pixels, finer towards both ends. */
    private double[][] classes(double[] brightness, boolean[] keep) {
        int n = count(keep)
        if (n == 0) {
            throw new Problem('no pixel is finite in the image, the result and the repeat')
        }
        double[][] pairs = sortedPairs(brightness, keep, n)
        List<Integer> edges = edges(n)
        double[][] curve = new double[2][edges.size()]
        for (int c = 0; c < edges.size(); c++) {
            int stop = c + 1 < edges.size() ? edges.get(c + 1) : n
            for (int i = edges.get(c); i < stop; i++) {
                curve[0][c] = curve[0][c] + pairs[0][i]
                curve[1][c] = curve[1][c] + pairs[1][i]
            }
            curve[0][c] = curve[0][c] / (stop - edges.get(c))
            curve[1][c] = curve[1][c] / (stop - edges.get(c))
        }
        if (curve[1].every { double variance -> variance == 0 }) {
            throw new Problem('the image and its repeat are equal, so the repeat is no second exposure; give one with its own noise, not a copy')
        }
        return curve
    }

    private double[][] sortedPairs(double[] brightness, boolean[] keep, int n) {
        double[] kept = new double[n], squares = new double[n]
        int at = 0
        for (int i = 0; i < keep.length; i++) {
            if (keep[i]) {
                kept[at] = brightness[i]
                double difference = noisy[i] - (double) repeat[i]
                squares[at] = difference * difference
                at++
            }
        }
        Integer[] places = new Integer[n]
        for (int i = 0; i < n; i++) {
            places[i] = i
        }
        Arrays.sort(places, { Integer a, Integer b -> Double.compare(kept[a], kept[b]) } as Comparator<Integer>)
        double[][] pairs = new double[2][n]
        for (int i = 0; i < n; i++) {
            pairs[0][i] = kept[places[i]]
            pairs[1][i] = squares[places[i]]
        }
        return pairs
    }

    private static List<Integer> edges(int n) {
        List<Integer> edges = n < CLASSES * SMALLEST ? [0] :
            (0..<CLASSES).collect { int part -> (int) ((long) n * part).intdiv(CLASSES) }
        if (edges.size() > 1) {
            while (edges.get(1) >= 2 * SMALLEST) {
                edges.add(1, edges.get(1).intdiv(2) as int)
            }
            while (n - edges.last() >= 2 * SMALLEST) {
                edges.add((edges.last() + n).intdiv(2) as int)
            }
        }
        return edges
    }

    /** The curve at each brightness: straight between classes, level below, in proportion above. */
    private static double[] along(double[] brightness, double[] centres, double[] variances) {
        int last = centres.length - 1
        double slope = last > 0 && centres[last] > centres[last - 1] ?
            Math.max(0.0d, (variances[last] - variances[0]) / (centres[last] - centres[0])) : 0.0d
        double least = Double.POSITIVE_INFINITY
        for (double variance : variances) {
            least = variance > 0 ? Math.min(least, variance) : least
        }
        double[] variance = new double[brightness.length]
        for (int i = 0; i < variance.length; i++) {
            double value = brightness[i]
            int at = Arrays.binarySearch(centres, value)
            at = at < 0 ? -at - 2 : at // the class below
            double here
            if (at < 0) {
                here = variances[0]
            } else if (at >= last) {
                here = variances[last] + slope * Math.max(0.0d, value - centres[last])
            } else {
                here = variances[at] + (variances[at + 1] - variances[at]) * (value - centres[at]) / (centres[at + 1] - centres[at])
            }
            variance[i] = Math.max(here, least)
        }
        return variance
    }

    /** Sums over 5 x 5 pixels; shorter at the border. */
    private double[] boxSums(double[] values) {
        double[] rows = new double[values.length], sums = new double[values.length]
        int half = BOX.intdiv(2) as int
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                double sum = 0
                for (int i = Math.max(0, x - half); i <= Math.min(width - 1, x + half); i++) {
                    sum += values[y * width + i]
                }
                rows[y * width + x] = sum
            }
        }
        for (int y = 0; y < height; y++) {
            for (int i = Math.max(0, y - half); i <= Math.min(height - 1, y + half); i++) {
                for (int x = 0; x < width; x++) {
                    sums[y * width + x] = sums[y * width + x] + rows[i * width + x]
                }
            }
        }
        return sums
    }
}
