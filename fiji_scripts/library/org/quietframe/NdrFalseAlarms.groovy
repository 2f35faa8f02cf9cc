package org.quietframe

import groovy.transform.CompileStatic

import java.util.concurrent.ConcurrentHashMap

/**
 * How many sigma make a jump, so that long and dark ramps have no more false alarms than others:
 * quietframe/ndr/false_alarms.py, which derives it.
 */
@CompileStatic
class NdrFalseAlarms {

    private static final int REFERENCE_READS = 100
    private static final double[] PHI = NdrBank.geometric(1e-7d, 1e4d, 56)
    private static final double[] TILT = NdrBank.geometric(5e-3d, 12.0d, 72)
    private static final int NODES = 40
    private static final int MOST_TABLES = 512
    private static final Map<String, double[][][]> TAILS = new ConcurrentHashMap<String, double[][][]>()
    private static final Map<String, double[]> TABLES = new ConcurrentHashMap<String, double[]>()
    private static final double[] LOG_PHI = logs(PHI)

    /** Chance of a false alarm upwards that each test of a ramp may have. */
    static double chance(double jumpSigma, int reads) {
        return NdrChances.normalTail(jumpSigma) * (REFERENCE_READS - 1) / Math.max(reads - 1, REFERENCE_READS - 1)
    }

    /** Size of a step above which it is a jump, in standard deviations of the test; never below jumpSigma. */
    static double threshold(double flux, double noise, int reads, double jumpSigma) {
        double phi = Math.max(flux / (noise * noise), PHI[0])
        return Math.max(interpolate(Math.log(phi), LOG_PHI, table(noise, reads, jumpSigma)), jumpSigma)
    }

    private static double[] table(double exactNoise, int reads, double jumpSigma) {
        // Steps of 5 % in noise and of 2 in length change the threshold by less than 0.05, and need few tables.
        double noise = Math.exp(0.05d * Math.rint(Math.log(exactNoise) / 0.05d))
        int length = (int) Math.round(Math.pow(2.0d, Math.rint(Math.log((double) Math.max(reads, 2)) / Math.log(2.0d))))
        String key = "${noise} ${reads} ${jumpSigma}".toString()
        double[] known = TABLES.get(key)
        if (known != null) {
            return known
        }
        double one = chance(jumpSigma, reads)
        double needed = NdrChances.normalQuantile(one)
        double[][][] upper = tail(noise, length, 1.0d), lower = tail(noise, length, -1.0d)
        double[] table = new double[PHI.length]
        for (int i = 0; i < table.length; i++) {
            double size = interpolate(needed, upper[1][i], upper[0][i])
            double down = NdrChances.normalTail(interpolate(size, lower[0][i], lower[1][i]))
            // What is rarer downwards may be more frequent upwards.
            double both = NdrChances.normalQuantile(2.0d * one - Math.min(down, one))
            table[i] = interpolate(both, upper[1][i], upper[0][i])
        }
        if (TABLES.size() > MOST_TABLES) {
            TABLES.clear()
            TAILS.clear()
        }
        TABLES.put(key, table)
        return table
    }

    /** The tail of the test for each ratio in PHI: [0] its sizes, ascending, [1] the normal value as rare as each. */
    private static double[][][] tail(double noise, int reads, double sign) {
        String key = "${noise} ${reads} ${sign}".toString()
        double[][][] known = TAILS.get(key)
        if (known == null) {
            known = new double[2][PHI.length][]
            for (int i = 0; i < PHI.length; i++) {
                double[][] one = tailOf(PHI[i], noise, reads, sign)
                known[0][i] = one[0]
                known[1][i] = one[1]
            }
            TAILS.put(key, known)
        }
        return known
    }

    private static double[][] tailOf(double phi, double noise, int reads, double sign) {
        // A photon counts exp(-kappa |i - j|) in the test at i; in short or dark ramps the ramp's length limits that.
        double decay = Math.max(NdrWeights.decay(phi), 4.0d / reads)
        double step = Math.max(1.0d, 0.2d / decay)
        double photons = phi * noise * noise * step
        double[] weights = new double[NODES + 1]
        double variance = 0.0d
        for (int j = 0; j <= NODES; j++) {
            weights[j] = sign * Math.exp(-decay * step * j) / (noise * Math.sqrt(2.0d * Math.sinh(decay)))
            variance += (j == 0 ? 1.0d : 2.0d) * photons * weights[j] * weights[j]
        }
        double read = Math.max(1.0d - variance, 0.0d)
        double[] sizes = new double[TILT.length], normals = new double[TILT.length]
        double highest = Double.NEGATIVE_INFINITY
        for (int i = 0; i < TILT.length; i++) {
            double tilt = TILT[i], logs = 0.0d, size = 0.0d, spread = 0.0d
            for (int j = 0; j <= NODES; j++) {
                double weight = weights[j], times = (j == 0 ? 1.0d : 2.0d) * photons
                double rise = Math.expm1(Math.min(tilt * weight, 500.0d))
                logs += times * (rise - tilt * weight)
                size += times * weight * rise
                spread += times * weight * weight * (rise + 1.0d)
            }
            logs += read * tilt * tilt / 2.0d
            size += read * tilt
            spread += read
            double root = Math.sqrt(Math.max(2.0d * (tilt * size - logs), 1e-30d))
            highest = Math.max(highest, root + Math.log(tilt * Math.sqrt(spread) / root) / root)
            sizes[i] = size
            normals[i] = highest
        }
        return [sizes, normals] as double[][]
    }

    /** Straight lines between the points (from[i], to[i]), from ascending; constant outside. */
    private static double interpolate(double value, double[] from, double[] to) {
        int last = from.length - 1
        if (value >= from[last]) {
            return to[last]
        }
        if (value < from[0]) {
            return to[0]
        }
        int low = 0, high = last
        while (high - low > 1) {
            int middle = (low + high) >>> 1
            if (from[middle] <= value) {
                low = middle
            } else {
                high = middle
            }
        }
        return (to[low + 1] - to[low]) / (from[low + 1] - from[low]) * (value - from[low]) + to[low]
    }

    private static double[] logs(double[] values) {
        double[] result = new double[values.length]
        for (int i = 0; i < values.length; i++) {
            result[i] = Math.log(values[i])
        }
        return result
    }
}
