package org.quietframe

import groovy.transform.CompileStatic

/**
 * A first guess of the flux of every pixel, to choose weights by: quietframe/ndr/guess.py. All steps are rounded to
 * float32 where NumPy rounds them, so that both choose the same weights.
 */
@CompileStatic
class NdrGuess {

    private static final int WINDOW = 5
    /** Rows beyond a block that its guess needs. */
    static final int HALO = 3

    /** The guess, and the mean of the neighbourhood alone. */
    final float[] flux, around

    NdrGuess(float[] slope, int width, double noise, int reads) {
        float[] tame = tamed(slope, width, noise, reads)
        float[] mean = boxMean(tame, width, WINDOW)
        float level = meanOf(mean)
        float[] squares = new float[slope.length]
        for (int i = 0; i < squares.length; i++) {
            float shifted = (float) (tame[i] - level)
            squares[i] = (float) (shifted * shifted)
        }
        float[] variance = boxMean(squares, width, WINDOW)
        flux = new float[slope.length]
        around = new float[slope.length]
        float perLight = slopeShot(reads), spread = slopeSpread(reads), constant = slopeRead(noise, reads)
        for (int i = 0; i < slope.length; i++) {
            float shifted = (float) (mean[i] - level)
            float square = (float) (shifted * shifted)
            float scatter = (float) (variance[i] - square)
            float expected = slopeVariance(mean[i], perLight, spread, constant)
            float ratio = (float) (expected / Math.max(scatter, 1e-12f))
            float keep = (float) Math.min(Math.max(1.0d - ratio, 0.0d), 1.0d)
            float away = (float) (slope[i] - mean[i])
            float kept = (float) (keep * away)
            flux[i] = (float) Math.max(mean[i] + kept, 0.0d)
            around[i] = Math.max(mean[i], 0f)
        }
    }

    private static float slopeShot(int reads) {
        return (float) ((double) reads * reads + 1.0d)
    }

    private static float slopeSpread(int reads) {
        return (float) ((double) reads * ((double) reads * reads - 1.0d))
    }

    private static float slopeRead(double noise, int reads) {
        return (float) (12.0d * noise * noise / ((double) reads * ((double) reads * reads - 1.0d)))
    }

    /** Variance of the least-squares slope at a flux. */
    private static float slopeVariance(float flux, float perLight, float spread, float constant) {
        float shot = (float) (1.2f * Math.max(flux, 0f))
        shot = (float) (shot * perLight)
        shot = (float) (shot / spread)
        return (float) (shot + constant)
    }

    /** Single pixels far above all their eight neighbours get the largest of these. */
    private static float[] tamed(float[] slope, int width, double noise, int reads) {
        int height = slope.length.intdiv(width) as int
        float perLight = slopeShot(reads), spread = slopeSpread(reads), constant = slopeRead(noise, reads)
        float[] result = new float[slope.length]
        for (int y = 0; y < height; y++) {
            int above = Math.max(y - 1, 0) * width, here = y * width, below = Math.min(y + 1, height - 1) * width
            for (int x = 0; x < width; x++) {
                int left = Math.max(x - 1, 0), right = Math.min(x + 1, width - 1)
                float highest = Math.max(Math.max(slope[above + left], slope[above + x]), slope[above + right])
                highest = Math.max(highest, Math.max(slope[here + left], slope[here + right]))
                highest = Math.max(highest, Math.max(Math.max(slope[below + left], slope[below + x]), slope[below + right]))
                float sigma = (float) Math.sqrt(slopeVariance(highest, perLight, spread, constant))
                float far = (float) (4f * sigma)
                float limit = (float) (highest + far)
                result[here + x] = slope[here + x] > limit ? highest : slope[here + x]
            }
        }
        return result
    }

    /** Mean over a square of odd side, mirrored at the border, as scipy.ndimage.uniform_filter gives it in float32. */
    static float[] boxMean(float[] plane, int width, int side) {
        int height = plane.length.intdiv(width) as int
        float[] result = new float[plane.length]
        double[] column = new double[height + side], row = new double[width + side]
        for (int x = 0; x < width; x++) {
            runningMean(plane, x, width, height, side, column, result)
        }
        for (int y = 0; y < height; y++) {
            runningMean(result, y * width, 1, width, side, row, result)
        }
        return result
    }

    private static void runningMean(float[] from, int start, int step, int count, int side, double[] line, float[] to) {
        int half = side.intdiv(2) as int
        for (int i = -half; i < count + half; i++) {
            line[i + half] = from[start + mirrored(i, count) * step]
        }
        double sum = 0.0d
        for (int i = 0; i < side; i++) {
            sum += line[i]
        }
        to[start] = (float) (sum / side)
        for (int i = 1; i < count; i++) {
            sum += line[i + side - 1]
            sum -= line[i - 1]
            to[start + i * step] = (float) (sum / side)
        }
    }

    private static int mirrored(int index, int count) {
        int i = index
        while (i < 0 || i >= count) {
            i = i < 0 ? -1 - i : 2 * count - 1 - i
        }
        return i
    }

    /** The mean as NumPy sums float32 up: in pairs, so that both subtract the same level. */
    private static float meanOf(float[] values) {
        float sum = pairwise(values, 0, values.length)
        return (float) (sum / (float) values.length)
    }

    private static float pairwise(float[] values, int start, int count) {
        if (count < 8) {
            float sum = 0f
            for (int i = 0; i < count; i++) {
                sum = (float) (sum + values[start + i])
            }
            return sum
        }
        if (count > 128) {
            int half = count.intdiv(2) as int
            half -= half % 8
            float early = pairwise(values, start, half), late = pairwise(values, start + half, count - half)
            return (float) (early + late)
        }
        float[] sums = new float[8]
        for (int i = 0; i < 8; i++) {
            sums[i] = values[start + i]
        }
        int whole = count - count % 8
        for (int i = 8; i < whole; i++) {
            sums[i % 8] = (float) (sums[i % 8] + values[start + i])
        }
        float first = (float) ((float) (sums[0] + sums[1]) + (float) (sums[2] + sums[3]))
        float second = (float) ((float) (sums[4] + sums[5]) + (float) (sums[6] + sums[7]))
        float total = (float) (first + second)
        for (int i = whole; i < count; i++) {
            total = (float) (total + values[start + i])
        }
        return total
    }
}
