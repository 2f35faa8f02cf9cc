package org.quietframe

import groovy.transform.CompileStatic

/**
 * How the light of an exposure changes as a whole, from the ramp itself: quietframe/ndr/light.py. A polynomial through
 * the mean increments of 32 blocks of reads; a higher degree only where an F test at 0.001 asks for it.
 */
@CompileStatic
class NdrLight {

    private static final int BLOCKS = 32, FEWEST = 6, HIGHEST_DEGREE = 3
    private static final double SIGNIFICANCE = 1e-3d

    /** Of the curve; 0: the light is steady. */
    int degree
    private final int first, last
    private double middle, half
    private double[] terms

    NdrLight(NdrReads reads, int first, int last, double saturation) {
        this.first = first
        this.last = last
        int[] edges = edgesOf(first, last)
        double[] rises = increments(reads, edges, saturation), times = new double[rises.length]
        for (int i = 0; i < times.length; i++) {
            times[i] = 0.5d * (edges[i] + edges[i + 1])
        }
        middle = 0.5d * (times[0] + times[times.length - 1])
        half = Math.max(0.5d * (times[times.length - 1] - times[0]), 1e-300d)
        terms = polynomial(times, rises, 0)
        if (times.length >= FEWEST) {
            choose(times, rises)
        }
    }

    private static int[] edgesOf(int first, int last) {
        int count = Math.min(BLOCKS, last - 1 - first) + 1
        TreeSet<Integer> edges = new TreeSet<Integer>()
        for (int i = 0; i < count; i++) {
            edges.add((int) Math.rint(first + i * ((last - 1 - first) / (double) (count - 1))))
        }
        return edges as int[]
    }

    private void choose(double[] times, double[] rises) {
        double scatter = rest(times, rises, terms)
        for (int trial = 1; trial <= HIGHEST_DEGREE; trial++) {
            double[] curve = polynomial(times, rises, trial)
            double left = rest(times, rises, curve)
            int free = times.length - trial - 1, spent = trial - degree
            if (free > 0 && (scatter - left) / spent > NdrChances.fQuantile(SIGNIFICANCE, spent, free) *
                Math.max(left / free, 1e-30d)) {
                terms = curve
                scatter = left
                degree = trial
            }
        }
    }

    /** Least squares in powers of the time from -1 to 1. */
    private double[] polynomial(double[] times, double[] rises, int power) {
        double[][] moments = new double[power + 1][power + 1]
        double[] products = new double[power + 1], result = new double[power + 1]
        for (int i = 0; i < times.length; i++) {
            double u = (times[i] - middle) / half
            for (int j = 0; j <= power; j++) {
                products[j] = products[j] + rises[i] * Math.pow(u, j)
                for (int k = 0; k <= power; k++) {
                    moments[j][k] = moments[j][k] + Math.pow(u, j + k)
                }
            }
        }
        double[][] inverse = NdrSeparation.pseudoInverse(moments)
        for (int j = 0; j <= power; j++) {
            for (int k = 0; k <= power; k++) {
                result[j] = result[j] + inverse[j][k] * products[k]
            }
        }
        return result
    }

    private double valueOf(double[] curve, double time) {
        double u = (time - middle) / half, sum = 0.0d
        for (int j = curve.length - 1; j >= 0; j--) {
            sum = sum * u + curve[j]
        }
        return sum
    }

    private double rest(double[] times, double[] rises, double[] curve) {
        double sum = 0.0d
        for (int i = 0; i < times.length; i++) {
            double away = rises[i] - valueOf(curve, times[i])
            sum += away * away
        }
        return sum
    }

    /** The light collected from the middle up to a time. */
    private double collected(double time) {
        double u = (time - middle) / half, sum = 0.0d
        for (int j = terms.length - 1; j >= 0; j--) {
            sum = sum * u + terms[j] / (j + 1)
        }
        return sum * u * half
    }

    /** What a rate or difference from the reads a to b is to be multiplied with to be in the mean light. */
    double factor(int a, int b) {
        if (degree == 0) {
            return 1.0d
        }
        double mean = (collected(last - 1) - collected(first)) / (last - 1 - first)
        double here = (collected(b) - collected(a)) / (b - a)
        // A curve that comes near 0 says nothing about a factor; more than 20 would be noise only.
        return here > 0.05d * mean && mean > 0.0d ? mean / here : 1.0d
    }

    /** Relative change of the light from the first sub-frame to the last. */
    double change() {
        double begin = valueOf(terms, first + 0.5d), end = valueOf(terms, last - 1.5d)
        return begin > 0.0d ? end / begin - 1.0d : 0.0d
    }

    /** Mean rise per sub-frame between neighbouring edges, over the pixels that stay below saturation. */
    private static double[] increments(NdrReads reads, int[] edges, double saturation) {
        float[] last = reads.plane(edges[edges.length - 1])
        boolean[] use = new boolean[last.length]
        int count = 0
        for (int p = 0; p < use.length; p++) {
            use[p] = last[p] <= saturation && Math.abs(last[p]) <= Float.MAX_VALUE
            count += use[p] ? 1 : 0
        }
        double[] rises = new double[edges.length - 1]
        Arrays.fill(rises, 1.0d)
        float[] before = reads.plane(edges[0])
        for (int i = 0; count > 0 && i < rises.length; i++) {
            float[] here = reads.plane(edges[i + 1])
            rises[i] = meanRise(before, here, use) / (edges[i + 1] - edges[i])
            before = here
            NdrThreads.checkEsc()
        }
        return rises
    }

    private static double meanRise(float[] before, float[] here, boolean[] use) {
        double sum = 0.0d
        int count = 0
        for (int p = 0; p < use.length; p++) {
            double rise = (double) here[p] - before[p]
            if (use[p] && Math.abs(rise) <= Double.MAX_VALUE) {
                sum += rise
                count++
            }
        }
        return sum / count
    }
}
