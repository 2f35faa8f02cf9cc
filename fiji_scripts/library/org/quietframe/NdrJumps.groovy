package org.quietframe

import groovy.transform.CompileStatic

/**
 * The test of ramps of one length for jumps, cutting a ramp at them, combining its pieces: quietframe/ndr/jumps.py and
 * the solver of bank.py. C = s^2 tridiag(-1, 2 + f/s^2, -1) is the covariance of the differences.
 */
@CompileStatic
class NdrJumps {

    /** A pixel's residuals count as its own noise up to this times the camera's. */
    private static final double NOISIEST = 2.5d

    final double noise
    final int reads
    private final float noiseSquared
    /** Elimination factors, and what turns a residual into sigmas, a row for each flux. */
    private final float[][] factor, perSigma
    private final float[] harder

    NdrJumps(int reads, double readNoise, double[] fluxes, double jumpSigma) {
        noise = Math.max(readNoise, 1e-2d)
        this.reads = reads
        float single = (float) noise
        noiseSquared = (float) (single * single)
        factor = new float[fluxes.length][]
        perSigma = new float[fluxes.length][]
        harder = new float[fluxes.length]
        double chance = 1.0d - (1.0d - NdrFalseAlarms.chance(jumpSigma, reads))
        for (int i = 0; i < fluxes.length; i++) {
            double needed = NdrFalseAlarms.threshold(fluxes[i], noise, reads, jumpSigma)
            double rare = NdrChances.poissonQuantile(chance, fluxes[i]) - fluxes[i] // photons in excess, this rare
            factor[i] = factors(fluxes[i] / (noise * noise))
            perSigma[i] = sizes(fluxes[i] / (noise * noise), needed, rare)
            harder[i] = (float) (needed / jumpSigma)
        }
    }

    private float[] factors(double phi) {
        float[] row = new float[reads - 1]
        double previous = 0.0d
        for (int i = 0; i < row.length; i++) {
            previous = 1.0d / (2.0d + phi - previous)
            row[i] = (float) previous
        }
        return row
    }

    /** s^2 C^-1_ii = sinh(k i) sinh(k (N - i)) / (sinh k sinh k N) and s^2 (C^-1 1)_i, without overflow. */
    private float[] sizes(double phi, double needed, double rare) {
        double decay = NdrWeights.decay(phi)
        double[] ones = new double[reads - 1]
        double sum = 0.0d
        for (int i = 1; i < reads; i++) {
            ones[i - 1] = Math.expm1(-decay * i) * Math.expm1(-decay * (reads - i)) / (1.0d + Math.exp(-decay * reads)) / phi
            sum += ones[i - 1]
        }
        float[] row = new float[reads - 1]
        for (int i = 1; i < reads; i++) {
            double diagonal = Math.expm1(-2.0d * decay * i) * Math.expm1(-2.0d * decay * (reads - i)) /
                -Math.expm1(-2.0d * decay * reads) / (2.0d * Math.sinh(decay))
            double strength = diagonal - ones[i - 1] * ones[i - 1] / sum
            double usual = 1.0d / (noise * Math.sqrt(Math.max(strength, 1e-12d)))
            double size = needed / Math.max(strength * rare, 1e-12d)
            row[i - 1] = strength > 1e-9d ? (float) Math.min(usual, size) : 0f
        }
        return row
    }

    /**
     * Largest significance of a jump anywhere in a ramp, given its differences; chi2 goes into chi2[at].
     * `residual` and `solved` are scratch of n - 1 numbers; the differences are lost.
     */
    float test(double[] residual, double[] solved, double rate, int entry, float[] chi2, int at) {
        solve(residual, solved, rate, factor[entry])
        float[] scale = perSigma[entry]
        int count = reads - 1
        double sum = 0.0d, size = 0.0d
        for (int i = 0; i < count; i++) {
            double value = solved[i]
            sum += residual[i] * value
            double here = value * scale[i]
            here = here < 0.0d ? -here : here // faster than Math.max, which looks for NaN; here there is none
            if (here > size) {
                size = here
            }
        }
        double total = sum / noiseSquared
        chi2[at] = (float) total
        double result = size / (ownNoise(total, size) * harder[entry])
        return (float) result
    }

    /** solved = s^2 C^-1 (differences - rate), by elimination. */
    private void solve(double[] residual, double[] solved, double rate, float[] factors) {
        int count = reads - 1
        double before = 0.0d
        for (int i = 0; i < count; i++) {
            double value = residual[i] - rate
            residual[i] = value
            before = (value + before) * factors[i]
            solved[i] = before
        }
        for (int i = count - 2; i >= 0; i--) {
            before = solved[i] + factors[i] * before
            solved[i] = before
        }
    }

    private double ownNoise(double chi2, double size) {
        double rest = (chi2 - size * size) / Math.max(reads - 3, 1)
        return Math.sqrt(Math.min(Math.max(rest, 1.0d), NOISIEST * NOISIEST))
    }

    /** The place of the strongest jump (between reads i and i + 1) of a ramp of this length, -1 when there is none. */
    private int strongest(double[] ramp, int start, double flux, double jumpSigma) {
        int count = reads - 1
        double[] weights = NdrWeights.optimal(reads, flux, noise)
        double[] residual = new double[count], solved = new double[count]
        double rate = 0.0d
        for (int i = 0; i < count; i++) {
            residual[i] = ramp[start + i + 1] - ramp[start + i]
            rate += weights[i] * residual[i]
        }
        solve(residual, solved, rate, factor[0])
        double chi2 = 0.0d, size = 0.0d
        int place = 0
        for (int i = 0; i < count; i++) {
            chi2 += residual[i] * solved[i]
            double here = Math.abs(solved[i] * perSigma[0][i])
            if (here > size) {
                size = here
                place = i
            }
        }
        double significance = size / (ownNoise(chi2 / (noise * noise), size) * harder[0])
        return significance > jumpSigma ? place : -1
    }

    /** Pieces {start, stop} of two reads or more that a ramp falls into when it is cut at every jump. */
    static List<int[]> cut(double[] ramp, int length, double flux, double noise, double jumpSigma) {
        List<int[]> waiting = [[0, length] as int[]], pieces = []
        double floor = Math.max(noise, 1e-2d)
        double used = Math.max(flux, 1e-6d * floor * floor)
        while (!waiting.isEmpty()) {
            int[] piece = waiting.remove(waiting.size() - 1)
            int size = piece[1] - piece[0], place = -1
            if (size >= 4) {
                place = new NdrJumps(size, noise, [used] as double[], jumpSigma).strongest(ramp, piece[0], used, jumpSigma)
            }
            if (place < 0) {
                pieces.add(piece)
            } else {
                waiting.add([piece[0], piece[0] + place + 1] as int[])
                waiting.add([piece[0] + place + 1, piece[1]] as int[])
            }
        }
        return pieces.findAll { int[] piece -> piece[1] - piece[0] >= 2 }.sort { int[] piece -> piece[0] }
    }

    /** {rate, Poisson part, read part of its variance} of the pieces, each fitted, by inverse variance. */
    static double[] combine(double[] ramp, List<int[]> pieces, String method, double flux, double noise) {
        double total = 0.0d, shot = 0.0d, read = 0.0d, rate = 0.0d
        for (int[] piece : pieces) {
            double[] weights = NdrWeights.of(method, piece[1] - piece[0], flux, noise)
            double poisson = flux * NdrWeights.sumOfSquares(weights)
            double reading = noise * noise * NdrWeights.sumOfSquares(NdrWeights.ofReads(weights))
            double trust = 1.0d / Math.max(poisson + reading, 1e-12d)
            double slope = 0.0d
            for (int i = 0; i < weights.length; i++) {
                slope += weights[i] * (ramp[piece[0] + i + 1] - ramp[piece[0] + i])
            }
            rate += trust * slope
            shot += trust * trust * poisson
            read += trust * trust * reading
            total += trust
        }
        if (pieces.isEmpty()) {
            return [Double.NaN, Double.NaN, Double.NaN] as double[]
        }
        return [rate / total, shot / (total * total), read / (total * total)] as double[]
    }
}
