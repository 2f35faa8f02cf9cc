package org.quietframe

import groovy.transform.CompileStatic

/** Percentiles, and pixels sorted by their signal. */
@CompileStatic
class NdrOrder {

    /** The percentile of the first `count` values, between the two nearest ones as NumPy takes it; they are reordered. */
    static double percentile(float[] values, int count, double percent) {
        double place = percent / 100.0d * (count - 1)
        int below = (int) Math.floor(place)
        double low = select(values, count, below)
        if (below + 1 >= count) {
            return low
        }
        double high = Double.POSITIVE_INFINITY
        for (int i = below + 1; i < count; i++) {
            high = Math.min(high, (double) values[i])
        }
        return low + (place - below) * (high - low)
    }

    static double median(float[] values, int count) {
        return percentile(values, count, 50.0d)
    }

    static double median(double[] values) {
        double[] sorted = Arrays.copyOf(values, values.length)
        Arrays.sort(sorted)
        int middle = sorted.length.intdiv(2) as int
        return sorted.length % 2 == 1 ? sorted[middle] : 0.5d * (sorted[middle - 1] + sorted[middle])
    }

    /** The value that would be at `place` if the first `count` values were sorted; smaller ones end up before it. */
    private static float select(float[] values, int count, int place) {
        int low = 0, high = count - 1
        while (low < high) {
            float pivot = values[(low + high) >>> 1]
            int i = low, j = high
            while (i <= j) {
                while (values[i] < pivot) {
                    i++
                }
                while (values[j] > pivot) {
                    j--
                }
                if (i <= j) {
                    float kept = values[i]
                    values[i] = values[j]
                    values[j] = kept
                    i++
                    j--
                }
            }
            if (place <= j) {
                high = j
            } else if (place >= i) {
                low = i
            } else {
                break
            }
        }
        return values[place]
    }

    /** Numbers 0, 1, ... cut into at most 32 parts of about the same signal. */
    static List<int[]> alike(double[] signal) {
        int count = signal.length
        int[] order = sorted(signal)
        int parts = Math.max(1, Math.min(32, count.intdiv(64) as int))
        int size = count.intdiv(parts) as int, longer = count % parts, start = 0
        List<int[]> result = []
        for (int i = 0; i < parts; i++) {
            int stop = start + size + (i < longer ? 1 : 0)
            result.add(Arrays.copyOfRange(order, start, stop))
            start = stop
        }
        return result
    }

    /** The places of the values in ascending order, equal ones in their own order: a merge sort. */
    private static int[] sorted(double[] values) {
        int count = values.length
        int[] from = new int[count], to = new int[count]
        for (int i = 0; i < count; i++) {
            from[i] = i
        }
        for (int width = 1; width < count; width *= 2) {
            for (int start = 0; start < count; start += 2 * width) {
                merge(values, from, to, start, Math.min(start + width, count), Math.min(start + 2 * width, count))
            }
            int[] kept = from
            from = to
            to = kept
        }
        return from
    }

    private static void merge(double[] values, int[] from, int[] to, int start, int middle, int stop) {
        int left = start, right = middle
        for (int i = start; i < stop; i++) {
            if (left < middle && (right >= stop || values[from[left]] <= values[from[right]])) {
                to[i] = from[left++]
            } else {
                to[i] = from[right++]
            }
        }
    }
}
