package org.quietframe

import groovy.transform.CompileStatic

/** The part of a ramp that a calibration looks at, and its usable pixels: quietframe/ndr/calibrate.py, first half. */
@CompileStatic
class NdrSample {

    /** Reads x pixels that are looked at; rows are left out evenly where there are more. */
    private static final long SAMPLES = 1L << 24
    static final int GROUPS = 16
    private static final int LONGEST_WINDOW = 16

    final int n, width, height
    /** Reads, each of height x width pixels. */
    final float[][] reads
    /** Level at which ramps stop rising, NaN when none do. */
    double level = Double.NaN
    /** Level up to which reads are used. */
    double trusted = Double.POSITIVE_INFINITY
    /** Pixels with a whole ramp that does not jump. */
    boolean[] usable
    /** Mean difference of every pixel. */
    float[] slope

    /** Rows of the reads first to last (not included, from 0). */
    NdrSample(NdrReads source, int first, int last) {
        this(source, (first..<last) as int[], last - first)
    }

    /** Rows of some reads, as many as a sample of `all` of them has. */
    private NdrSample(NdrReads source, int[] which, int all) {
        n = which.length
        width = source.width
        long numbers = (long) all * source.height * source.width
        int step = (int) Math.max(1L, (long) (numbers + SAMPLES - 1L).intdiv(SAMPLES))
        height = (source.height + step - 1).intdiv(step) as int
        reads = new float[n][height * width]
        for (int i = 0; i < n; i++) {
            float[] plane = source.plane(which[i])
            for (int y = 0; y < height; y++) {
                System.arraycopy(plane, y * step * width, reads[i], y * width, width)
            }
            NdrThreads.checkEsc()
        }
    }

    /** The level at which ramps stop rising, NaN when none do; whole numbers are finite, so few reads tell it. */
    static double saturationOf(NdrReads source, int first, int last) {
        int all = last - first
        if (all < 4) {
            return Double.NaN
        }
        int[] ends = [first, first + 1, first + 2, last - 2, last - 1] as int[]
        return (source.whole ? new NdrSample(source, ends, all) : new NdrSample(source, first, last)).saturation()
    }

    /** Find the usable pixels, or say why a calibration cannot be made. */
    void prepare(double end) {
        checkReads()
        level = saturation()
        trusted = end
        if (!Double.isNaN(level)) {
            double[] start = ofFinite(0)
            trusted = level - 0.15d * (level - NdrOrder.median(start))
        }
        usable = finite()
        for (int i = 0; i < n; i++) {
            for (int p = 0; p < usable.length; p++) {
                if (!(reads[i][p] < trusted)) {
                    usable[p] = false
                }
            }
        }
        if (indices().length >= GROUPS) {
            keepWithoutBends()
        }
        int left = indices().length
        if (left < GROUPS) {
            throw new Problem("only ${left} of ${usable.length} pixels have a whole, finite, unsaturated ramp: too few to " +
                'measure the read noise; give read_noise_e and gain_e_per_adu, or last to use fewer reads')
        }
        slope = new float[usable.length]
        for (int p = 0; p < slope.length; p++) {
            float change = (float) ((double) reads[n - 1][p] - reads[0][p])
            slope[p] = (float) (change / (n - 1))
        }
        keepCalm()
    }

    private void checkReads() {
        float lowest = Float.POSITIVE_INFINITY, highest = Float.NEGATIVE_INFINITY
        for (int i = 0; i < n; i++) {
            for (int p = 0; p < reads[i].length; p++) {
                float value = reads[i][p]
                if (value < lowest) {
                    lowest = value
                }
                if (value > highest) {
                    highest = value
                }
            }
        }
        if (lowest == highest) {
            throw new Problem("all reads are equal (value ${lowest}): nothing was collected, nothing can be fitted; is this " +
                'the exposure file?')
        }
        if (n < 4) {
            throw new Problem("the read noise cannot be measured from ${n} reads (4 are needed); give read_noise_e and " +
                'gain_e_per_adu')
        }
    }

    private boolean[] finite() {
        boolean[] result = new boolean[height * width]
        Arrays.fill(result, true)
        for (int i = 0; i < n; i++) {
            for (int p = 0; p < result.length; p++) {
                float value = reads[i][p]
                if (Float.isNaN(value) || Float.isInfinite(value)) {
                    result[p] = false
                }
            }
        }
        return result
    }

    /** Numbers of the usable pixels. */
    int[] indices() {
        return places(usable)
    }

    private static int[] places(boolean[] chosen) {
        int count = 0
        for (int p = 0; p < chosen.length; p++) {
            if (chosen[p]) {
                count++
            }
        }
        int[] result = new int[count]
        int at = 0
        for (int p = 0; p < chosen.length; p++) {
            if (chosen[p]) {
                result[at++] = p
            }
        }
        return result
    }

    private double[] ofFinite(int read) {
        int[] where = places(finite())
        double[] values = new double[where.length]
        for (int p = 0; p < values.length; p++) {
            values[p] = reads[read][where[p]]
        }
        return values
    }

    /** A low one of the levels where bright ramps rise no more, NaN when there are no such ramps. */
    double saturation() {
        int[] whole = n < 4 ? new int[0] : places(finite())
        if (whole.length < 8) {
            return Double.NaN
        }
        double[] bend = new double[whole.length], away = new double[whole.length], start = new double[whole.length]
        for (int i = 0; i < whole.length; i++) {
            int p = whole[i]
            start[i] = reads[0][p]
            bend[i] = ((double) reads[2][p] - reads[1][p]) - ((double) reads[1][p] - reads[0][p])
        }
        double middle = NdrOrder.median(bend)
        for (int i = 0; i < bend.length; i++) {
            away[i] = Math.abs(bend[i] - middle)
        }
        double noise = 1.4826d * NdrOrder.median(away)
        List<Double> levels = []
        for (int p : whole) {
            double fastest = Math.max((double) reads[1][p] - reads[0][p], (double) reads[2][p] - reads[1][p])
            double last = reads[n - 1][p]
            if (Math.abs(last - reads[n - 2][p]) < 0.25d * fastest && fastest > 10.0d * noise &&
                last - reads[0][p] > 0.5d * fastest) {
                levels.add(last)
            }
        }
        return levels.size() < 8 ? Double.NaN : commonLevel(levels as double[], NdrOrder.median(start))
    }

    private static double commonLevel(double[] levels, double start) {
        double middle = NdrOrder.median(levels)
        double[] away = new double[levels.length]
        for (int i = 0; i < away.length; i++) {
            away[i] = Math.abs(levels[i] - middle)
        }
        double spread = 1.4826d * NdrOrder.median(away)
        // Each at its own level: light that went out, not a full well.
        return spread > 0.05d * Math.abs(middle - start) ? Double.NaN : middle - 4.0d * spread
    }

    /** Leave out ramps that jump between two reads, judged against ramps of about the same signal. */
    private void keepWithoutBends() {
        int[] where = indices()
        double[] rise = new double[where.length]
        for (int p = 0; p < rise.length; p++) {
            rise[p] = (double) reads[n - 1][where[p]] - reads[0][where[p]]
        }
        List<int[]> parts = NdrOrder.alike(rise)
        NdrThreads.each(parts.size(), NdrThreads.usual()) { int number ->
            int[] part = parts.get(number)
            float[][] bends = new float[n - 2][part.length]
            for (int p = 0; p < part.length; p++) {
                bendsOf(where[part[p]], bends, p)
            }
            keepBelow(bends, part, where, 6.0d)
        }
    }

    private void bendsOf(int pixel, float[][] bends, int at) {
        float before = (float) (reads[1][pixel] - reads[0][pixel])
        for (int i = 2; i < n; i++) {
            float here = (float) (reads[i][pixel] - reads[i - 1][pixel])
            bends[i - 2][at] = Math.abs((float) (here - before))
            before = here
        }
    }

    /** Leave out the pixels of a part one of whose values is above `times` the sigma that 99 % of all of them tell. */
    private void keepBelow(float[][] values, int[] part, int[] where, double times) {
        float[] all = new float[values.length * part.length]
        for (int i = 0; i < values.length; i++) {
            System.arraycopy(values[i], 0, all, i * part.length, part.length)
        }
        double limit = times * NdrOrder.percentile(all, all.length, 99.0d) / 2.576d
        for (int p = 0; p < part.length; p++) {
            for (int i = 0; i < values.length; i++) {
                if (!(values[i][p] < limit)) {
                    usable[where[part[p]]] = false
                }
            }
        }
    }

    /** Leave out ramps that jump by less, seen between windows of up to 16 sub-frames. */
    private void keepCalm() {
        int[] where = indices()
        int window = Math.min(LONGEST_WINDOW, (n.intdiv(2) as int) - 1)
        int blocks = (n - window + window).intdiv(window + 1) as int
        float[][] changes = new float[blocks - 1][where.length]
        float[] scratch = new float[where.length]
        for (int i = 0; i + 1 < blocks; i++) {
            int early = i * (window + 1), late = early + window + 1
            for (int p = 0; p < where.length; p++) {
                int pixel = where[p]
                float first = (float) ((double) reads[early + window][pixel] - reads[early][pixel])
                float second = (float) ((double) reads[late + window][pixel] - reads[late][pixel])
                changes[i][p] = scratch[p] = (float) (second - first)
            }
            float middle = (float) NdrOrder.median(scratch, scratch.length)
            for (int p = 0; p < where.length; p++) {
                changes[i][p] = Math.abs((float) (changes[i][p] - middle))
            }
        }
        double[] signal = new double[where.length]
        for (int p = 0; p < signal.length; p++) {
            signal[p] = slope[where[p]]
        }
        for (int[] part : NdrOrder.alike(signal)) {
            float[][] some = new float[changes.length][part.length]
            for (int i = 0; i < some.length; i++) {
                for (int p = 0; p < part.length; p++) {
                    some[i][p] = changes[i][part[p]]
                }
            }
            keepBelow(some, part, where, 4.5d)
        }
    }
}
