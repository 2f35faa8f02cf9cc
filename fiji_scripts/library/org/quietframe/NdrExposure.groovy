package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.process.ByteProcessor
import ij.process.FloatProcessor
import ij.process.ImageProcessor

/** An exposure with the options that all commands on it share, and the images that are made from it. */
@CompileStatic
class NdrExposure {

    final ImagePlus image
    final NdrReads reads
    final NdrCamera camera
    /** Reads used, from 0, `last` not included. */
    final int first, last
    private final List<String> said = []

    /**
     * `first` and `last` count from 1; 0 = from the first valid read, to the end. In `values` a number that is not above
     * 0 (the black level: below 0) was not given.
     */
    NdrExposure(ImagePlus image, int first, int last, Map<String, Double> values) {
        reads = new NdrReads(image)
        this.image = image
        Map<String, Double> given = [:]
        values.each { String key, Double value ->
            if (value != null && (key == 'black_adu' ? value >= 0.0d : value != 0.0d)) {
                given.put(key, value)
            }
        }
        camera = NdrCamera.of(image, given)
        if (first < 0 || last < 0) {
            throw new Problem("reads count from 1 (0 = the first valid one, the last one); got first=${first} last=${last}")
        }
        int[] range = reads.range(first == 0 ? NdrCamera.firstValid(image, reads.count) : first - 1, last)
        this.first = range[0]
        this.last = range[1]
        String axis = image.getNFrames() > 1 ? null : image.getNSlices() > 1 ? 'slices (z)' : 'channels'
        if (axis != null) {
            say("its ${reads.count} ${axis} are taken as sub-frames")
        }
    }

    /** A sentence for the user: in the log, and in the Info of the results. */
    void say(String note) {
        said.add(note)
        IJ.log("${image.title}: ${note}")
    }

    /** Name a first interval that does not fit the ones after it: the reset had not settled. */
    void checkSettling() {
        int stop = Math.min(last, first + 10)
        if (stop - first < 5) {
            return
        }
        int step = (int) Math.max(1.0d, Math.floor(Math.sqrt((double) reads.height * reads.width / 65536.0d)))
        double[] means = new double[stop - first - 1]
        double error = 0.0d
        float[] before = reads.plane(first)
        for (int i = 0; i < means.length; i++) {
            float[] here = reads.plane(first + i + 1)
            double[] middle = trimmed(before, here, step)
            means[i] = middle[0]
            error = i == 0 ? middle[1] : error
            before = here
        }
        double[] rest = Arrays.copyOfRange(means, 1, means.length)
        double usual = NdrOrder.median(rest), scatter = 0.0d
        for (double value : rest) {
            scatter = Math.max(scatter, Math.abs(value - usual))
        }
        if (Math.abs(means[0] - usual) > Math.max(3.0d * scatter + 6.0d * error, 1e-9d)) {
            say(NdrKnown.text('the first interval does not fit the rest: its two reads differ by %.4g ADU on average, those ' +
                'after it by %.4g; the reset may not have settled. It is used; ', means[0], usual) +
                "first=${first + 2} leaves it out")
        }
    }

    /** {mean, standard error} of the middle 98 % of the differences of two reads. */
    private double[] trimmed(float[] early, float[] late, int step) {
        double[] values = new double[early.length]
        int count = 0
        for (int y = 0; y < reads.height; y += step) {
            for (int x = 0; x < reads.width; x += step) {
                double change = (double) late[y * reads.width + x] - early[y * reads.width + x]
                if (!Double.isNaN(change) && !Double.isInfinite(change)) {
                    values[count++] = change
                }
            }
        }
        Arrays.sort(values, 0, count)
        int cut = count.intdiv(100) as int, left = count - 2 * cut
        double mean = 0.0d, variance = 0.0d
        for (int i = cut; i < count - cut; i++) {
            mean += values[i] / left
        }
        for (int i = cut; i < count - cut; i++) {
            variance += (values[i] - mean) * (values[i] - mean) / left
        }
        return left == 0 ? new double[2] : [mean, Math.sqrt(variance / left)] as double[]
    }

    /** The Info lines of a result: the camera's, the command's settings, and what was said. */
    Map<String, String> settings(String command, NdrKnown known, Map<String, Object> options) {
        Map<String, String> lines = new LinkedHashMap<String, String>(known.info)
        lines.put('quietframe.version', Command.version())
        lines.put('quietframe.command', command)
        options.each { String name, Object value ->
            if (value != null) {
                lines.put("quietframe.${name}".toString(), value.toString())
            }
        }
        lines.put('ndr.exposure', NdrCamera.infoOf(image).get('ndr.exposure') ?: image.title.tokenize('.')[0])
        lines.put('ndr.count_from', '1')
        if (!known.gainKnown) {
            lines.put('ndr.gain_assumed', 'true')
        }
        if (!said.isEmpty()) {
            lines.put('quietframe.notes', said.join('; '))
        }
        return lines
    }

    /** A result of some planes (float[] or byte[]) along channels or, `alongTime`, frames. */
    ImagePlus result(String suffix, List<?> planes, List<String> labels, boolean alongTime, Map<String, String> info) {
        ImageStack stack = new ImageStack(reads.width, reads.height)
        for (int i = 0; i < planes.size(); i++) {
            Object plane = planes.get(i)
            ImageProcessor processor = plane instanceof byte[] ? new ByteProcessor(reads.width, reads.height, (byte[]) plane) :
                new FloatProcessor(reads.width, reads.height, (float[]) plane)
            stack.addSlice(labels.get(i), processor)
        }
        int[] czt = (alongTime ? [1, 1, planes.size()] : [planes.size(), 1, 1]) as int[]
        ImagePlus made = Hyperstacks.like(image, Hyperstacks.titled(image, suffix), stack, czt, info)
        made.calibration.frameInterval = 0.0d
        return made
    }

    static float[] scaled(float[] plane, double factor) {
        float scale = (float) factor
        float[] values = new float[plane.length]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (plane[i] * scale)
        }
        return values
    }

    /** The median of the finite values, NaN when there are none. */
    static double medianOf(float[] plane) {
        float[] finite = new float[plane.length]
        int count = 0
        for (int i = 0; i < plane.length; i++) {
            if (!Float.isNaN(plane[i]) && !Float.isInfinite(plane[i])) {
                finite[count++] = plane[i]
            }
        }
        return count == 0 ? Double.NaN : NdrOrder.median(finite, count)
    }
}
