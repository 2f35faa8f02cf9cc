package org.quietframe

import groovy.transform.CompileStatic

/** Which reads make pairs to learn from: quietframe/ndr/pairs.py. Windows {a, b} count from 0, both reads included. */
@CompileStatic
class NdrPairs {

    static final List<String> DESIGNS = ['halves', 'n2n', 'care', 'report']
    private static final int REPORT_READS = 100

    final String design
    final int difference
    final List<int[]> inputs, targets

    private NdrPairs(String design, int difference, List<int[]> inputs, List<int[]> targets) {
        this.design = design
        this.difference = difference
        this.inputs = inputs
        this.targets = targets
    }

    /** Whether a target is the fit of all reads of its window. */
    boolean isFitted() {
        return design == 'care'
    }

    /** Pairs out of the reads first to last (not included); count 0 = each window is an input once. */
    static NdrPairs of(String design, int first, int last, int difference, int guard, int count, int seed) {
        checkGuard(guard)
        if (count < 0) {
            throw new Problem("count must be 1 pair or more (0 = each window once); got ${count}")
        }
        NdrPairs all = design == 'n2n' ? twins(first, last, difference, guard, seed) :
            design == 'care' ? sides(first, last, difference, guard) : report(first, last, difference, guard)
        int size = all.inputs.size()
        if (count > size) {
            throw new Problem("count ${count} is more than the ${size} pairs that ImageJ's command makes, each window once" +
                (design == 'n2n' ? "; 'quietframe ndr split' in a terminal draws more" : ''))
        }
        int kept = count == 0 ? size : count
        return new NdrPairs(design, difference, all.inputs.subList(0, kept), all.targets.subList(0, kept))
    }

    static void checkGuard(int guard) {
        if (guard < 0) {
            throw new Problem("guard is the number of sub-frames left out, 0 or more (1 is usual); got ${guard}")
        }
    }

    /** {first, last} of two equal halves with `guard` sub-frames between them, last not included. */
    static List<int[]> halves(int first, int last, int guard) {
        checkGuard(guard)
        int size = Math.floorDiv(last - first - guard + 1, 2)
        if (size < 2) {
            throw new Problem("${last - first} reads do not give two halves of 2 reads or more with a guard of ${guard} " +
                "sub-frame${guard == 1 ? '' : 's'} between them; it takes at least ${guard + 3}")
        }
        return [[first, first + size] as int[], [last - size, last] as int[]]
    }

    private static List<int[]> windows(int first, int last, int difference, int guard) {
        NdrRamps.windows(last, difference, first + 1, 'single') // its checks and messages
        List<int[]> result = []
        for (int start = first; start + difference < last; start += difference + guard) {
            result.add([start, start + difference] as int[])
        }
        return result
    }

    /** Two differences at random; the random order of each pair makes neither member the earlier one on average. */
    private static NdrPairs twins(int first, int last, int difference, int guard, int seed) {
        List<int[]> all = windows(first, last, difference, guard)
        int n = all.size()
        if (n < 2) {
            throw new Problem("difference ${difference} fits only once into reads ${first + 1} to ${last}: a pair takes " +
                "${2 * difference + 1 + guard} reads with a guard of ${guard}; take a smaller one")
        }
        if (seed < 0) {
            throw new Problem("seed must be 0 or more; got ${seed}")
        }
        int[] circle = NdrShuffle.permutation(n, seed)
        List<int[]> inputs = [], targets = []
        for (int i = 0; i < (n > 2 ? n : 1); i++) {
            inputs.add(all.get(circle[i]))
            targets.add(all.get(circle[(i + 1) % n]))
        }
        return new NdrPairs('n2n', difference, inputs, targets)
    }

    /** Every window of one side of the exposure, and the reads of the whole other side. */
    private static NdrPairs sides(int first, int last, int difference, int guard) {
        int size = Math.floorDiv(last - first - guard + 1, 2)
        if (size < 2 || size <= difference) {
            throw new Problem("${last - first} reads are too few for inputs of ${difference} sub-frames on two sides with a " +
                "guard of ${guard}; it takes at least ${2 * difference + 1 + guard}: take a smaller one")
        }
        List<int[]> inputs = [], targets = []
        List<int[]> halves = halves(first, last, guard)
        for (int side = 0; side < 2; side++) {
            int[] mine = halves.get(side), other = halves.get(1 - side)
            for (int[] window : windows(mine[0], mine[1], difference, guard)) {
                inputs.add(window)
                targets.add([other[0], other[1] - 1] as int[])
            }
        }
        return new NdrPairs('care', difference, inputs, targets)
    }

    /** The report's target, read 100 - read 1, and all windows inside it: their noise is in it. */
    private static NdrPairs report(int first, int last, int difference, int guard) {
        int end = first + REPORT_READS
        if (end > last) {
            throw new Problem("the report's target is read ${REPORT_READS} - read 1; there are ${last - first} reads. " +
                'design=care makes targets of any exposure, without the leak')
        }
        List<int[]> inputs = windows(first, end, difference, guard)
        return new NdrPairs('report', difference, inputs, inputs.collect { int[] window -> [first, end - 1] as int[] })
    }

    /** What is wrong with the pairs, null when nothing is; flux in e-/px/sub-frame. */
    String warning(double flux, double noise) {
        List<Double> related = []
        for (int i = 0; i < inputs.size(); i++) {
            int[] one = inputs.get(i), other = targets.get(i)
            double own = covariance(one, one, flux, noise), theirs = covariance(other, other, flux, noise)
            double shared = covariance(one, other, flux, noise)
            if (!fitted && shared != 0.0d && own > 0.0d) {
                double scale = (one[1] - one[0]) / (double) (other[1] - other[0])
                related.add(design == 'report' ? scale * shared / own : shared / Math.sqrt(own * theirs))
            }
        }
        if (related.isEmpty()) {
            return null
        }
        double least = related.min(), most = related.max()
        if (design == 'report') {
            return NdrKnown.text('warning: input and target are made of the same reads: %.0f to %.0f %% of the noise of an input ' +
                'is in its target, and a net trained on them keeps it; design=care makes targets that share no read with ' +
                'their inputs', 100.0d * least, 100.0d * most)
        }
        return "warning: ${related.size()} of ${inputs.size()} pairs share a read: " + NdrKnown.text('the correlation of their ' +
            'noise is %+.2f to %+.2f, and a net trained on them returns it with its sign turned; use a guard of 1 or more',
            least, most)
    }

    /** Covariance of the noise of two differences. */
    private static double covariance(int[] one, int[] other, double flux, double noise) {
        int overlap = Math.max(0, Math.min(one[1], other[1]) - Math.max(one[0], other[0]))
        int shared = (one[1] == other[1] ? 1 : 0) + (one[0] == other[0] ? 1 : 0) - (one[1] == other[0] ? 1 : 0) -
            (one[0] == other[1] ? 1 : 0)
        return flux * overlap + noise * noise * shared
    }

    /** "2-22,23-43": reads from 1. */
    static String textOf(List<int[]> windows) {
        return windows.collect { int[] window -> "${window[0] + 1}-${window[1] + 1}" }.join(',')
    }
}
