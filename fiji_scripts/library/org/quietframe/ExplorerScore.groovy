package org.quietframe

import groovy.transform.CompileStatic

/**
 * What tells without truth how good a filter is: pixels that it does not see, or the other half of an exposure; and how
 * much noise is left. quietframe/filtering/tune_judges.py and metrics/overview.py for ImageJ, which say what it means.
 */
@CompileStatic
class ExplorerScore {

    private static final int PHASES = 4
    private static final int GRID_STEP = 4

    private final float[] plane
    private final int width, height, radius
    private final float[] other
    /** What the filter is to be given: planes of which some pixels are replaced by what surrounds them, or both halves. */
    final List<float[]> inputs = []
    private final List<int[]> judged = []

    /**
     * @param other  the other half of the exposure in the same unit; null = judge by hidden pixels
     * @param radius distance over which the noise is correlated [px]: this neighbourhood is hidden with a pixel
     */
    ExplorerScore(float[] plane, int width, float[] other, int radius) {
        this.plane = plane
        this.width = width
        this.height = plane.length.intdiv(width) as int
        this.radius = radius
        this.other = other
        if (other == null) {
            if (Math.min(width, height) < 2 * radius + 4) {
                throw new Problem("a score needs ${2 * radius + 4} x ${2 * radius + 4} pixels; the region has ${width} x ${height}")
            }
            float[] around = surroundings()
            for (int phase = 0; phase < PHASES; phase++) {
                hide(phase, around)
            }
        } else {
            inputs.add(plane)
            inputs.add(other)
        }
    }

    /** Mean squared error of a filter, whose results on `inputs` these are; up to a constant that all share. */
    double error(List<float[]> results) {
        return other == null ? hiddenError(results) : halvesError(results.get(0), results.get(1))
    }

    private double hiddenError(List<float[]> results) {
        double total = 0
        long count = 0
        for (int i = 0; i < results.size(); i++) {
            float[] result = results.get(i)
            int[] places = judged.get(i)
            for (int at = 0; at < places.length; at++) {
                double deviation = result[places[at]] - (double) plane[places[at]]
                total += deviation * deviation
            }
            count += places.length
        }
        return total / count
    }

    /** Each filtered half against the other one: what only one of them has counts once in either role. */
    private double halvesError(float[] ofPlane, float[] ofOther) {
        double total = 0, noise = 0
        for (int i = 0; i < plane.length; i++) {
            double there = ofPlane[i] - (double) other[i], back = ofOther[i] - (double) plane[i]
            double scatter = plane[i] - (double) other[i]
            total += there * there + back * back
            noise += scatter * scatter
        }
        return (total - noise) / 2 / plane.length
    }

    /** The nearest pixels that are seen, those at the corners half as much; the picture goes on mirrored. */
    private float[] surroundings() {
        int far = radius + 1
        double[] sums = new double[plane.length]
        double weights = 4 * (2 * far - 1) + 4 * 0.5d
        for (int dy = -far; dy <= far; dy++) {
            for (int dx = -far; dx <= far; dx++) {
                if (Math.max(Math.abs(dy), Math.abs(dx)) == far) {
                    addShifted(dy, dx, (Math.abs(dy) == far && Math.abs(dx) == far ? 0.5d : 1.0d) / weights, sums)
                }
            }
        }
        float[] around = new float[sums.length]
        for (int i = 0; i < sums.length; i++) {
            around[i] = (float) sums[i]
        }
        return around
    }

    private void addShifted(int dy, int dx, double weight, double[] sums) {
        for (int y = 0; y < height; y++) {
            int row = mirrored(y + dy, height) * width
            for (int x = 0; x < width; x++) {
                sums[y * width + x] = sums[y * width + x] + weight * plane[row + mirrored(x + dx, width)]
            }
        }
    }

    private static int mirrored(int at, int length) {
        int folded = at < 0 ? -at : at
        return folded >= length ? 2 * length - 2 - folded : folded
    }

    private void hide(int phase, float[] around) {
        int step = radius == 0 ? GRID_STEP : 2 * radius + 4
        float[] filled = (float[]) plane.clone()
        int top = (phase * step).intdiv(PHASES) as int, left = (phase * ((step.intdiv(2) as int) + 1)) % step
        List<Integer> places = []
        for (int y = top; y < height; y += step) {
            for (int x = left; x < width; x += step) {
                places.add(y * width + x)
                fill(filled, around[y * width + x], y, x)
            }
        }
        inputs.add(filled)
        judged.add(places as int[])
    }

    private void fill(float[] filled, float value, int y, int x) {
        for (int row = Math.max(0, y - radius); row <= Math.min(height - 1, y + radius); row++) {
            for (int column = Math.max(0, x - radius); column <= Math.min(width - 1, x + radius); column++) {
                filled[row * width + column] = value
            }
        }
    }

    /** Standard deviation of white noise (Immerkaer 1996); NaN when the plane is smaller than 3 x 3. */
    static double noise(float[] plane, int width) {
        int height = plane.length.intdiv(width) as int
        if (height < 3 || width < 3) {
            return Double.NaN
        }
        double total = 0
        for (int y = 1; y < height - 1; y++) {
            for (int x = 1; x < width - 1; x++) {
                int at = y * width + x
                total += Math.abs(bend(plane, at - width) - 2 * bend(plane, at) + bend(plane, at + width))
            }
        }
        return Math.sqrt(Math.PI / 2) * total / (6.0d * (height - 2) * (width - 2))
    }

    private static double bend(float[] plane, int at) {
        return plane[at - 1] - 2.0d * plane[at] + plane[at + 1]
    }
}
