package org.quietframe

import groovy.transform.CompileStatic

/**
 * Gain and read noise of a camera from one ramp, with their errors: quietframe/ndr/calibrate.py. Shot noise is white
 * along the ramp and read noise is not.
 */
@CompileStatic
class NdrCalibrate {

    private static final int SHORTEST = 6
    /** A gain less certain than this is no measurement. */
    private static final double WORST_ERROR = 0.1d
    /** Variance that rounding to whole ADU adds to every read. */
    private static final double ROUNDING = 1.0d / 12.0d

    /** e-/ADU; NaN when it cannot be measured, for the `reason`. */
    double gain = Double.NaN, gainError = Double.NaN
    /** ADU rms of one read. */
    double noise, noiseError
    /** Level where ramps stop rising, NaN when none do. */
    double saturation = Double.NaN
    String reason = ''
    int pixels

    private final NdrSpectra seen

    /** Calibrate from the reads first to last (from 0, not included); a known gain (else NaN) makes the noise surer. */
    static NdrCalibrate of(NdrReads reads, int first, int last, double knownGain) {
        NdrSample sample = new NdrSample(reads, first, last)
        sample.prepare(reads.end)
        NdrCalibrate found = new NdrCalibrate(new NdrSpectra(sample))
        found.saturation = sample.level
        found.solve(knownGain, reads.whole)
        return found
    }

    private NdrCalibrate(NdrSpectra seen) {
        this.seen = seen
        pixels = seen.where.length
    }

    private void solve(double knownGain, boolean rounded) {
        double[] split = NdrSeparation.separate(seen.meanPower())
        measureGain(split[0], split[1])
        double used = Double.isNaN(knownGain) ? gain : knownGain
        double error = !Double.isNaN(knownGain) || Double.isNaN(gain) ? 0.0d : gainError
        double[] squared = squaredNoise(split[0], split[1], used, error)
        noise = Math.sqrt(Math.max(squared[0] - (rounded ? ROUNDING : 0.0d), 0.0d))
        noiseError = noise > 0.0d ? squared[1] / (2.0d * noise) : Math.sqrt(squared[1])
    }

    private void measureGain(double shot, double read) {
        int n = seen.n
        if (n + 1 < SHORTEST) {
            reason = "${n + 1} reads are too few to measure it, ${SHORTEST} are needed"
            return
        }
        double perLight = shot / Math.max(meanOf(seen.mean), 1e-12d)
        double[] around = seen.neighbours(), top = new double[pixels], bottom = new double[pixels]
        double normal = 0.0d, collected = 0.0d
        for (int[] part : NdrOrder.alike(around)) {
            NdrSeparation weights = new NdrSeparation(n, perLight * meanOf(around, part), read)
            double variance = Math.max(weights.shotVariance, 1e-30d)
            for (int p : part) {
                double trust = around[p] / variance
                top[p] = trust * NdrSeparation.dot(weights.shot, seen.power[p])
                bottom[p] = trust * seen.mean[p]
                normal += trust * trust * variance
            }
        }
        collected = NdrSeparation.sum(bottom)
        double[] inverse = ratio(top, bottom)
        // The parts of the image scatter too little where a few bright spots decide: at least the error of normal noise.
        double error = Math.max(inverse[1], Math.sqrt(normal) / Math.max(collected, 1e-30d))
        if (!(inverse[0] > 0.0d) || error > WORST_ERROR * inverse[0]) {
            reason = String.format(Locale.ROOT, 'too little light to measure it: 1/g = %.2g +- %.2g ADU/e-', inverse[0], error)
            return
        }
        gain = 1.0d / inverse[0]
        gainError = error / (inverse[0] * inverse[0])
    }

    /** {squared read noise, its error} in ADU^2, the surer of two ways. */
    private double[] squaredNoise(double shot, double read, double usedGain, double error) {
        NdrSeparation mean = new NdrSeparation(seen.n, shot, read)
        double[] top = new double[pixels], bottom = new double[pixels]
        for (int p = 0; p < pixels; p++) {
            top[p] = NdrSeparation.dot(mean.read, seen.power[p])
            bottom[p] = 1.0d
        }
        double[] alone = ratio(top, bottom)
        if (Double.isNaN(usedGain)) {
            return alone
        }
        // With the gain the shot noise is known, and the whole spectrum tells the read noise, best in dark pixels.
        double light = 0.0d, total = 0.0d
        for (int[] part : NdrOrder.alike(seen.light)) {
            NdrSeparation weights = new NdrSeparation(seen.n, meanOf(seen.light, part) / usedGain, Math.max(alone[0], 0.01d))
            double sum = NdrSeparation.sum(weights.readAlone), trust = 1.0d / weights.readAloneVariance
            for (int p : part) {
                top[p] = trust * (NdrSeparation.dot(weights.readAlone, seen.power[p]) - sum * seen.mean[p] / usedGain)
                bottom[p] = trust
                light += trust * seen.mean[p]
                total += trust
            }
        }
        double[] second = ratio(top, bottom)
        double ofGain = light / total * error / (usedGain * usedGain) / 2.0d
        double scatter = Math.hypot(second[1], ofGain)
        return scatter < alone[1] ? [second[0], scatter] as double[] : alone
    }

    private static double meanOf(double[] values) {
        return NdrSeparation.sum(values) / values.length
    }

    private static double meanOf(double[] values, int[] part) {
        double sum = 0.0d
        for (int p : part) {
            sum += values[p]
        }
        return sum / part.length
    }

    /** {sum(top) / sum(bottom), its standard error}, by leaving out one part of the image after the other. */
    private double[] ratio(double[] top, double[] bottom) {
        int groups = NdrSample.GROUPS
        double[] tops = new double[groups], bottoms = new double[groups]
        for (int p = 0; p < pixels; p++) {
            int group = (int) ((long) p * groups).intdiv(pixels)
            tops[group] += top[p]
            bottoms[group] += bottom[p]
        }
        int last = (int) ((long) (pixels - 1) * groups).intdiv(pixels), count = last + 1
        double all = NdrSeparation.sum(tops), below = NdrSeparation.sum(bottoms), mean = 0.0d, variance = 0.0d
        for (int i = 0; i < count; i++) {
            mean += (all - tops[i]) / (below - bottoms[i]) / count
        }
        for (int i = 0; i < count; i++) {
            double away = (all - tops[i]) / (below - bottoms[i]) - mean
            variance += away * away / count
        }
        return [below > 0.0d ? all / below : Double.NaN, Math.sqrt((count - 1) * variance)] as double[]
    }
}
