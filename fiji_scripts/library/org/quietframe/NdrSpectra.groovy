package org.quietframe

import groovy.transform.CompileStatic

/**
 * The spectra of the usable ramps of a sample, without what all of them share (a parabola in the signal):
 * quietframe/ndr/calibrate.py `look` and noise_spectrum.py.
 */
@CompileStatic
class NdrSpectra {

    private static final double MOST_LEVERAGE = 0.05d
    private static final int MOST_TRIMS = 8
    private static final int CHUNK = 1024

    final int n
    /** Pixels of the sample, their mean difference, the same with its noise taken out as far as neighbours tell. */
    int[] where
    double[] mean, light
    /** Power at k = 1 ... n - 1 of each ramp. */
    float[][] power
    private final NdrSample sample

    /** What all ramps share: coefficients of 1, m, m^2 for each difference; m is divided by `scale`. */
    private static class Common {
        float[][] coefficients
        double scale
        double[][] inverse
    }

    NdrSpectra(NdrSample sample) {
        this.sample = sample
        n = sample.n - 1
        int[] all = sample.indices()
        light = guessLight(all)
        where = all
        Common common = shared(where, light)
        for (int trim = 0; trim < MOST_TRIMS; trim++) {
            int[] kept = withoutLeverage(common)
            if (kept.length == where.length) {
                break
            }
            int[] left = new int[kept.length]
            double[] theirs = new double[kept.length]
            for (int i = 0; i < kept.length; i++) {
                left[i] = where[kept[i]]
                theirs[i] = light[kept[i]]
            }
            where = left
            light = theirs
            common = shared(where, light)
        }
        mean = new double[where.length]
        for (int i = 0; i < mean.length; i++) {
            mean[i] = sample.slope[where[i]]
        }
        power = powers(where, light, common)
    }

    private int[] withoutLeverage(Common common) {
        double limit = Math.max(MOST_LEVERAGE, 12.0d / light.length)
        int[] kept = new int[light.length]
        int count = 0
        for (int i = 0; i < light.length; i++) {
            if (leverage(common, light[i]) <= limit) {
                kept[count++] = i
            }
        }
        return Arrays.copyOf(kept, count)
    }

    /** Mean difference pulled towards that of the neighbours, the more the less these differ beyond noise. */
    private double[] guessLight(int[] all) {
        int step = Math.max(1, all.length.intdiv(4096) as int)
        int[] some = new int[(all.length + step - 1).intdiv(step) as int]
        for (int i = 0; i < some.length; i++) {
            some[i] = all[i * step]
        }
        double[] dark = new double[some.length]
        double[] split = NdrSeparation.separate(meanOf(powers(some, dark, shared(some, dark))))
        double level = 0.0d
        for (int p : all) {
            level += (double) sample.slope[p] / all.length
        }
        level = Math.max(level, 1e-12d)
        return smooth(all, split[0] / level / n, 2.0d * split[1] / ((double) n * n))
    }

    private double[] smooth(int[] all, double perLight, double constant) {
        int count = sample.usable.length, width = sample.width
        float[] filled = new float[count], ones = new float[count]
        for (int p : all) {
            filled[p] = sample.slope[p]
            ones[p] = 1f
        }
        float[] share = NdrGuess.boxMean(ones, width, 9), around = NdrGuess.boxMean(filled, width, 9)
        float[] away = new float[count]
        for (int p = 0; p < count; p++) {
            share[p] = Math.max(share[p], 1e-6f)
            around[p] = (float) (around[p] / share[p])
        }
        for (int p : all) {
            float difference = (float) (sample.slope[p] - around[p])
            away[p] = (float) (difference * difference)
        }
        float[] scatter = NdrGuess.boxMean(away, width, 9)
        double[] result = new double[all.length]
        for (int i = 0; i < result.length; i++) {
            int p = all[i]
            double noise = perLight * Math.max(around[p], 0f) + constant
            double keep = Math.min(Math.max(1.0d - noise / Math.max(scatter[p] / share[p], 1e-12d), 0.0d), 1.0d)
            result[i] = Math.max(around[p] + keep * (sample.slope[p] - around[p]), 0.0d)
        }
        return result
    }

    /** Fit the parabolas by least squares over the pixels. */
    private Common shared(int[] pixels, double[] signal) {
        Common common = new Common()
        double highest = 0.0d
        for (int i = 0; i < signal.length; i++) {
            highest = Math.max(highest, Math.abs(signal[i]))
        }
        common.scale = highest > 0.0d ? highest : 1.0d
        double[][] moments = new double[3][3]
        double[] level = new double[signal.length], square = new double[signal.length]
        for (int i = 0; i < signal.length; i++) {
            double m = signal[i] / common.scale, m2 = m * m
            level[i] = m
            square[i] = m2
            moments[0][0] = moments[0][0] + 1.0d
            moments[0][1] = moments[0][1] + m
            moments[0][2] = moments[0][2] + m2
            moments[1][2] = moments[1][2] + m * m2
            moments[2][2] = moments[2][2] + m2 * m2
        }
        moments[1][0] = moments[0][1]
        moments[1][1] = moments[0][2]
        moments[2][0] = moments[0][2]
        moments[2][1] = moments[1][2]
        common.inverse = NdrSeparation.pseudoInverse(moments)
        common.coefficients = new float[n][]
        NdrThreads.each(n, NdrThreads.usual()) { int i ->
            common.coefficients[i] = parabola(sample.reads[i], sample.reads[i + 1], pixels, level, square, common.inverse)
        }
        return common
    }

    private static float[] parabola(float[] early, float[] late, int[] pixels, double[] level, double[] square,
                                    double[][] inverse) {
        double ones = 0.0d, levels = 0.0d, squares = 0.0d
        for (int i = 0; i < pixels.length; i++) {
            int p = pixels[i]
            float step = (float) (late[p] - early[p])
            ones += step
            levels += step * level[i]
            squares += step * square[i]
        }
        float[] result = new float[3]
        for (int j = 0; j < 3; j++) {
            result[j] = (float) (ones * inverse[0][j] + levels * inverse[1][j] + squares * inverse[2][j])
        }
        return result
    }

    /** The part of its own noise that a pixel of the fit takes off itself. */
    private static double leverage(Common common, double signal) {
        double m = Math.min(signal, common.scale) / common.scale, m2 = m * m
        double[][] a = common.inverse
        double sum = a[0][0] + a[1][1] * m * m + a[2][2] * m2 * m2 + (a[0][1] + a[1][0]) * m + (a[0][2] + a[2][0]) * m2 +
            (a[1][2] + a[2][1]) * m * m2
        return Math.min(Math.max(sum, 0.0d), 1.0d)
    }

    private float[][] powers(int[] pixels, double[] signal, Common common) {
        float[][] result = new float[pixels.length][n - 1]
        int chunks = (pixels.length + CHUNK - 1).intdiv(CHUNK) as int
        NdrThreads.each(chunks, NdrThreads.usual()) { int chunk ->
            NdrCosine cosine = new NdrCosine(n)
            double[] first = new double[n], second = new double[n]
            int stop = Math.min((chunk + 1) * CHUNK, pixels.length)
            for (int i = chunk * CHUNK; i < stop; i += 2) {
                int other = Math.min(i + 1, stop - 1)
                residual(pixels[i], signal[i], common, first)
                residual(pixels[other], signal[other], common, second)
                cosine.transform(first, second)
                square(first, common, signal[i], result[i])
                square(second, common, signal[other], result[other])
            }
        }
        return result
    }

    private void residual(int pixel, double signal, Common common, double[] steps) {
        double level = Math.min(signal, common.scale) / common.scale
        float m = (float) level, m2 = (float) (level * level)
        float before = sample.reads[0][pixel]
        for (int i = 0; i < n; i++) {
            float here = sample.reads[i + 1][pixel]
            float[] shared = common.coefficients[i]
            steps[i] = (float) (here - before) - (shared[0] + shared[1] * m + shared[2] * m2)
            before = here
        }
    }

    private static void square(double[] wave, Common common, double signal, float[] to) {
        double rest = Math.max(1.0d - leverage(common, signal), 0.1d)
        for (int k = 0; k < to.length; k++) {
            to[k] = (float) (wave[k + 1] * wave[k + 1] / rest)
        }
    }

    /** The mean spectrum. */
    double[] meanPower() {
        return meanOf(power)
    }

    private static double[] meanOf(float[][] rows) {
        double[] result = new double[rows[0].length]
        for (int i = 0; i < rows.length; i++) {
            float[] row = rows[i]
            for (int k = 0; k < result.length; k++) {
                result[k] += row[k]
            }
        }
        for (int k = 0; k < result.length; k++) {
            result[k] = result[k] / rows.length
        }
        return result
    }

    /** Mean difference of the pixels around each one, without its own, 0 or more. */
    double[] neighbours() {
        int width = sample.width, height = sample.height
        double[] plane = new double[width * height], used = new double[width * height]
        for (int i = 0; i < where.length; i++) {
            plane[where[i]] = mean[i]
            used[where[i]] = 1.0d
        }
        double[] result = new double[where.length]
        for (int i = 0; i < where.length; i++) {
            int x = where[i] % width, y = where[i].intdiv(width) as int
            double total = 0.0d, count = 0.0d
            for (int v = Math.max(y - 2, 0); v <= Math.min(y + 2, height - 1); v++) {
                for (int u = Math.max(x - 2, 0); u <= Math.min(x + 2, width - 1); u++) {
                    if (u != x || v != y) {
                        total += plane[v * width + u]
                        count += used[v * width + u]
                    }
                }
            }
            result[i] = Math.max(total / Math.max(count, 1.0d), 0.0d)
        }
        return result
    }
}
