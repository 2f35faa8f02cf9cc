package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus

import java.math.MathContext
import java.math.RoundingMode

/**
 * Says when a picture is far from what a model was trained on: quietframe/inference/mismatch.py once more. Both are
 * tested on tests/vectors/mismatch.json.
 */
@CompileStatic
class Mismatch {

    private static final int SAMPLED_PLANES = 5
    private static final int MOST_PIXELS = 65_536

    /** One sentence per deviation of an image from a model's training data; `channels` of the network. */
    static List<String> warnings(ImagePlus image, ModelFile model, int channels) {
        if (channels == 1) {
            return channelWarnings(image, model, -1)
        }
        List<String> said = []
        for (int channel = 0; channel < channels; channel++) {
            said.addAll(channelWarnings(image, model, channel))
        }
        return said
    }

    /** The same of planes of one channel; channel -1 where the network takes one. */
    static List<String> compare(List<float[]> planes, Map<String, Double> known, int channel) {
        if (!known.keySet().containsAll(['p01', 'p999', 'std'])) {
            return []
        }
        String where = channel < 0 ? 'this picture' : "channel ${channel + 1}"
        double[] values = thinned(planes)
        double median = medianOf(values), std = stdOf(values)
        double low = known.get('p01'), high = known.get('p999'), trained = known.get('std')
        double margin = 0.25d * (high - low)
        List<String> said = []
        if (!(low - margin <= median && median <= high + margin)) {
            said << (String) ("the median of ${where} is ${brief(median)}, but the model was trained on counts from ${brief(low)} to " +
                "${brief(high)}: check unit, gain and offset, or train on pictures like this")
        }
        if (trained > 0 && !(trained / 5 <= std && std <= trained * 5)) {
            said << (String) ("the standard deviation of ${where} is ${brief(std)}, but the model was trained on ${brief(trained)}: " +
                'check unit and gain, or train on pictures like this')
        }
        return said
    }

    private static List<String> channelWarnings(ImagePlus image, ModelFile model, int channel) {
        Map<String, Double> known = model.statistics(channel)
        int count = channel < 0 ? image.stackSize : image.stackSize.intdiv(image.getNChannels()) as int
        List<float[]> planes = []
        for (int index : sampled(count)) {
            planes.add(Hyperstacks.plane(image, channel < 0 ? index + 1 : index * image.getNChannels() + channel + 1))
        }
        return compare(planes, known, channel)
    }

    /** Up to five planes, evenly taken, from 0. */
    private static SortedSet<Integer> sampled(int count) {
        int taken = Math.min(count, SAMPLED_PLANES)
        SortedSet<Integer> found = new TreeSet<Integer>()
        for (int i = 0; i < taken; i++) {
            found.add((int) Math.rint(taken == 1 ? 0d : (double) (i * (count - 1)) / (taken - 1)))
        }
        return found
    }

    private static double[] thinned(List<float[]> planes) {
        int total = 0
        double[] values = new double[planes.size() * 2 * MOST_PIXELS]
        for (float[] plane : planes) {
            int before = total
            int stride = Math.max(1, plane.length.intdiv(MOST_PIXELS) as int)
            for (int i = 0; i < plane.length; i += stride) {
                if (!Float.isNaN(plane[i]) && !Float.isInfinite(plane[i])) {
                    values[total++] = plane[i]
                }
            }
            if (total == before) {
                values[total++] = 0d
            }
        }
        return Arrays.copyOf(values, total)
    }

    private static double medianOf(double[] values) {
        double[] sorted = values.clone()
        Arrays.sort(sorted)
        int half = sorted.length.intdiv(2) as int
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
    }

    private static double stdOf(double[] values) {
        double mean = 0, squares = 0
        for (double value : values) {
            mean += value
        }
        mean /= values.length
        for (double value : values) {
            squares += (value - mean) * (value - mean)
        }
        return Math.sqrt(squares / values.length)
    }

    /** A number with four digits, written as Python's "%.4g" writes it. */
    static String brief(double value) {
        if (value == 0 || Double.isNaN(value) || Double.isInfinite(value)) {
            return value == 0 ? '0' : String.valueOf(value)
        }
        BigDecimal rounded = new BigDecimal(value).round(new MathContext(4, RoundingMode.HALF_EVEN)).stripTrailingZeros()
        int exponent = rounded.precision() - rounded.scale() - 1
        if (exponent >= -4 && exponent < 4) {
            return rounded.toPlainString()
        }
        String digits = rounded.movePointLeft(exponent).stripTrailingZeros().toPlainString()
        return "${digits}e${exponent < 0 ? '-' : '+'}${String.format('%02d', Math.abs(exponent))}"
    }
}
