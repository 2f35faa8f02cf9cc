package org.quietframe

import groovy.transform.CompileStatic

/**
 * Rate, variance and flags of every pixel from all reads of an exposure: quietframe/ndr/fit.py, step by step, in double
 * precision. Reads count from 0 here; rates are e-/px/sub-frame.
 */
@CompileStatic
class NdrFit {

    static final int SATURATED = 1, JUMP = 2, NOT_FINITE = 4, UNUSABLE = 8, FALLING = 16
    static final Map<Integer, String> FLAG_NAMES =
        [(SATURATED): 'saturated', (JUMP): 'jump', (NOT_FINITE): 'not finite', (UNUSABLE): 'unusable', (FALLING): 'falling']

    /** More jumping ramps in a block than this are no cosmic rays but light that changes. */
    private static final int MANY_JUMPS = 500
    private static final double MANY_JUMPS_PART = 0.02d
    /** Numbers of the ramps that a thread works on at a time. */
    private static final int CHUNK = 1 << 16

    /** What a fit needs to know; `last` is not included, `jumpSigma` 0 makes no test. */
    static class Settings {
        String method = 'optimal'
        int first, last
        double gain, noise
        double saturation = Double.POSITIVE_INFINITY
        double jumpSigma = 5.0d
        /** Flux for the weights of every pixel; null: guessed. */
        float[] flux
        int threads = NdrThreads.usual()
    }

    final float[] rate, poisson, read, chi2
    final int[] used
    final byte[] flags
    private final NdrReads reads
    private final Settings settings
    private final int n, width

    /** Weights, and the test for jumps, of ramps of one length. */
    private static class Tables {
        NdrBank bank, best
        NdrJumps jumps
    }

    static NdrFit of(NdrReads reads, Settings settings) {
        NdrFit fit = new NdrFit(reads, settings)
        List<int[]> blocks = reads.rowBlocks(fit.n)
        for (int i = 0; i < blocks.size(); i++) {
            Command.progress(i, blocks.size())
            fit.block(blocks.get(i)[0], blocks.get(i)[1])
        }
        fit.flagFalling()
        return fit
    }

    private NdrFit(NdrReads reads, Settings settings) {
        if (!NdrWeights.METHODS.contains(settings.method)) {
            throw Problem.unknown('method', settings.method, NdrWeights.METHODS)
        }
        this.reads = reads
        this.settings = settings
        n = settings.last - settings.first
        width = reads.width
        int pixels = width * reads.height
        rate = new float[pixels]
        poisson = new float[pixels]
        read = new float[pixels]
        chi2 = new float[pixels]
        used = new int[pixels]
        flags = new byte[pixels]
        for (float[] plane : [rate, poisson, read, chi2]) {
            Arrays.fill(plane, Float.NaN)
        }
    }

    private void block(int start, int stop) {
        int low = Math.max(0, start - NdrGuess.HALO), high = Math.min(reads.height, stop + NdrGuess.HALO)
        reads.hold(settings.first, settings.last, low, high)
        int from = start * width, size = (stop - start) * width, skipped = from - low * width
        float[] guess = new float[size], around = new float[size]
        float[] slope = new float[(high - low) * width]
        int[] whole = new int[slope.length]
        byte[] why = new byte[slope.length]
        slopes(low * width, slope, whole, why)
        System.arraycopy(whole, skipped, used, from, size)
        System.arraycopy(why, skipped, flags, from, size)
        if (settings.flux == null) {
            NdrGuess guessed = new NdrGuess(slope, width, settings.noise, n)
            System.arraycopy(guessed.flux, skipped, guess, 0, size)
            System.arraycopy(guessed.around, skipped, around, 0, size)
        } else {
            for (int i = 0; i < size; i++) {
                guess[i] = around[i] = Math.max(settings.flux[from + i], 0f)
            }
        }
        float[] significance = new float[size]
        fitWhole(from, guess, significance)
        fitCut(from, guess, significance)
        fitJumping(from, guess, around, significance)
        for (int i = from; i < from + size; i++) {
            if (Float.isNaN(rate[i]) || Float.isInfinite(rate[i])) {
                flags[i] = (byte) (flags[i] | UNUSABLE)
            }
        }
    }

    /** Least-squares slopes of the held rows; where a ramp is cut, how many reads are before that, and why. */
    private void slopes(int from, float[] slope, int[] whole, byte[] why) {
        double[] weights = NdrWeights.ofReads(NdrWeights.leastSquares(n))
        int step = Math.max(16, CHUNK.intdiv(n) as int)
        int chunks = (slope.length + step - 1).intdiv(step) as int
        boolean floats = !reads.whole
        // NumPy compares float32 reads with the level rounded to float32; infinite reads are above every level.
        double level = Math.min(floats ? (double) (float) settings.saturation : settings.saturation, Double.MAX_VALUE)
        NdrThreads.each(chunks, settings.threads) { int chunk ->
            int start = chunk * step, pixels = Math.min(step, slope.length - start)
            float[] ramps = new float[pixels * n]
            reads.copy(from + start, pixels, n, ramps)
            for (int p = 0; p < pixels; p++) {
                slopeOf(ramps, p * n, weights, level, slope, whole, why, start + p)
            }
        }
    }

    private void slopeOf(float[] ramps, int at, double[] weights, double level, float[] slope, int[] whole, byte[] why,
                         int pixel) {
        double start = ramps[at], sum = 0.0d
        int good = n
        for (int i = 0; i < n; i++) {
            double value = ramps[at + i]
            if (!(value <= level && value >= -Double.MAX_VALUE)) {
                good = i
                break
            }
            sum += weights[i] * (value - start)
        }
        if (good < n) {
            float first = ramps[at + good]
            why[pixel] = (byte) (Float.isNaN(first) || Float.isInfinite(first) ? NOT_FINITE : SATURATED)
            sum = good < 2 ? 0.0d : ((double) ramps[at + good - 1] - start) / (good - 1)
            if (good < 2) {
                why[pixel] = (byte) (why[pixel] | UNUSABLE)
            }
        }
        whole[pixel] = good
        float value = (float) (sum * settings.gain)
        slope[pixel] = Float.isNaN(value) || Float.isInfinite(value) ? 0f : value
    }

    private Tables tablesFor(int length, float highest) {
        double[] fluxes = givenFluxes() ?: NdrBank.fluxGrid(length, settings.noise, highest)
        Tables tables = new Tables(bank: new NdrBank(settings.method, length, settings.noise, fluxes))
        if (settings.jumpSigma > 0.0d) {
            tables.best = settings.method == 'optimal' ? tables.bank : new NdrBank('optimal', length, settings.noise, fluxes)
            double noise = Math.max(settings.noise, 1e-2d)
            double[] positive = new double[fluxes.length]
            for (int i = 0; i < positive.length; i++) {
                positive[i] = Math.max(fluxes[i], 1e-9d * noise * noise)
            }
            tables.jumps = new NdrJumps(length, settings.noise, positive, settings.jumpSigma)
        }
        return tables
    }

    /** The fluxes that were asked for, where they are few; null else. */
    private double[] givenFluxes() {
        if (settings.flux == null) {
            return null
        }
        TreeSet<Float> values = new TreeSet<Float>()
        for (int i = 0; i < settings.flux.length && values.size() <= NdrBank.ENTRIES; i++) {
            values.add(settings.flux[i])
        }
        return values.size() > NdrBank.ENTRIES ? null : values.collect { Float value -> (double) value } as double[]
    }

    private void fitWhole(int from, float[] guess, float[] significance) {
        float highest = 0f
        for (int i = 0; i < guess.length; i++) {
            highest = Math.max(highest, guess[i])
        }
        Tables tables = tablesFor(n, highest)
        int step = Math.max(16, CHUNK.intdiv(n) as int)
        int chunks = (guess.length + step - 1).intdiv(step) as int
        NdrThreads.each(chunks, settings.threads) { int chunk ->
            int start = chunk * step, pixels = Math.min(step, guess.length - start)
            float[] ramps = new float[pixels * n]
            reads.copy(from + start, pixels, n, ramps)
            double[] residual = new double[n], solved = new double[n]
            for (int p = 0; p < pixels; p++) {
                if (used[from + start + p] == n) {
                    ramp(ramps, p * n, n, guess[start + p], tables, residual, solved, from + start + p)
                    significance[start + p] = lastSignificance(residual)
                }
            }
        }
    }

    /** Fit the ramps that end early, all of one length at a time. */
    private void fitCut(int from, float[] guess, float[] significance) {
        Map<Integer, List<Integer>> byLength = new TreeMap<Integer, List<Integer>>()
        for (int i = 0; i < guess.length; i++) {
            int length = used[from + i]
            if (length < n && length >= 2) {
                byLength.computeIfAbsent(length) { new ArrayList<Integer>() }.add(i)
            }
        }
        List<Integer> lengths = new ArrayList<Integer>(byLength.keySet())
        NdrThreads.each(lengths.size(), settings.threads) { int number ->
            int length = lengths.get(number)
            List<Integer> places = byLength.get(length)
            float highest = 0f
            for (int place : places) {
                highest = Math.max(highest, guess[place])
            }
            Tables tables = tablesFor(length, highest)
            float[] one = new float[length]
            double[] residual = new double[length], solved = new double[length]
            for (int place : places) {
                reads.copy(from + place, 1, length, one)
                ramp(one, 0, length, guess[place], tables, residual, solved, from + place)
                significance[place] = lastSignificance(residual)
            }
        }
    }

    /** `ramp` leaves the significance of the strongest jump behind the differences. */
    private static float lastSignificance(double[] residual) {
        return (float) residual[residual.length - 1]
    }

    /** Fit one ramp of `length` reads from ramps[at] on. */
    private void ramp(float[] ramps, int at, int length, float flux, Tables tables, double[] residual, double[] solved,
                      int pixel) {
        NdrBank bank = tables.bank
        int entry = bank.entryOf(flux)
        double value = weighted(bank.ofReads[entry], ramps, at, length) * settings.gain
        residual[length - 1] = 0.0d
        if (tables.jumps != null) {
            int among = tables.best.is(bank) ? entry : tables.best.entryOf(flux)
            double reference = tables.best.is(bank) ? value :
                weighted(tables.best.ofReads[among], ramps, at, length) * settings.gain
            steps(ramps, at, length, settings.gain, residual)
            residual[length - 1] = tables.jumps.test(residual, solved, reference, among, chi2, pixel)
        }
        rate[pixel] = (float) value
        poisson[pixel] = (float) (flux * bank.shot[entry])
        float noise = (float) settings.noise
        float square = (float) (noise * noise)
        read[pixel] = (float) (square * bank.read[entry])
    }

    private static double weighted(double[] weights, float[] ramps, int at, int length) {
        double start = ramps[at], even = 0.0d, odd = 0.0d
        int i = 1
        for (; i + 1 < length; i += 2) {
            even += weights[i] * (ramps[at + i] - start)
            odd += weights[i + 1] * (ramps[at + i + 1] - start)
        }
        if (i < length) {
            even += weights[i] * (ramps[at + i] - start)
        }
        return even + odd
    }

    private static void steps(float[] ramps, int at, int length, double gain, double[] residual) {
        double before = ramps[at]
        for (int i = 1; i < length; i++) {
            double here = ramps[at + i]
            residual[i - 1] = (here - before) * gain
            before = here
        }
    }

    /** Cut the ramps that jump and combine their pieces. */
    private void fitJumping(int from, float[] guess, float[] around, float[] significance) {
        float limit = (float) settings.jumpSigma
        if (limit <= 0f) {
            return
        }
        List<Integer> jumping = []
        for (int i = 0; i < guess.length; i++) {
            if (significance[i] > limit && used[from + i] >= 4) {
                flags[from + i] = (byte) (flags[from + i] | JUMP)
                jumping.add(i)
            }
        }
        if (jumping.size() > Math.max((double) MANY_JUMPS, MANY_JUMPS_PART * guess.length)) {
            return
        }
        NdrThreads.each(jumping.size(), settings.threads) { int number ->
            int place = jumping.get(number), pixel = from + place, length = used[pixel]
            float[] one = new float[length]
            reads.copy(pixel, 1, length, one)
            double[] ramp = new double[length]
            for (int i = 0; i < length; i++) {
                ramp[i] = ((double) one[i] - one[0]) * settings.gain
            }
            double flux = Math.min(guess[place], around[place])
            List<int[]> pieces = NdrJumps.cut(ramp, length, flux, settings.noise, settings.jumpSigma)
            double[] result = NdrJumps.combine(ramp, pieces, settings.method, flux, settings.noise)
            rate[pixel] = (float) result[0]
            poisson[pixel] = (float) result[1]
            read[pixel] = (float) result[2]
            int left = 0
            for (int[] piece : pieces) {
                left += piece[1] - piece[0]
            }
            used[pixel] = left
        }
    }

    private void flagFalling() {
        for (int i = 0; i < rate.length; i++) {
            float sum = (float) (poisson[i] + read[i])
            float far = (float) (-5f * (float) Math.sqrt(sum))
            if (rate[i] < far) {
                flags[i] = (byte) (flags[i] | FALLING)
            }
        }
    }

    /** Both parts of the variance. */
    float[] variance() {
        float[] result = new float[rate.length]
        for (int i = 0; i < result.length; i++) {
            result[i] = (float) (poisson[i] + read[i])
        }
        return result
    }

    /** How many pixels have each flag, those that occur, e.g. "jump 3"; "none". */
    String flagText() {
        List<String> parts = []
        FLAG_NAMES.each { Integer flag, String name ->
            int count = countOf(flag)
            if (count > 0) {
                parts.add("${name} ${count}".toString())
            }
        }
        return parts.isEmpty() ? 'none' : parts.join(', ')
    }

    int countOf(int flag) {
        int count = 0
        for (int i = 0; i < flags.length; i++) {
            if ((flags[i] & flag) != 0) {
                count++
            }
        }
        return count
    }
}
