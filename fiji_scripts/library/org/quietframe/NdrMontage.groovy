package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack
import ij.gui.Overlay
import ij.gui.Roi

import java.awt.Color

/**
 * The sliced picture: one image cut into strips, each from a difference of another length and divided by it, noisy above
 * restored: quietframe/ndr/montage.py for ImageJ.
 */
@CompileStatic
class NdrMontage {

    private static final List<String> CONTRASTS = ['common', 'each']
    private static final int NARROWEST = 4

    private final int[] differences
    private final int width, height
    /** Per sub-frame, one plane for each difference. */
    private final List<float[]> planes = []
    /** "e-", "ADU", or empty when unknown. */
    private String unit = ''

    /** The picture of an exposure or of a stack with one frame per difference, with that of `restored` (a title) below. */
    static ImagePlus draw(ImagePlus image, String restored, String differences, String contrast) {
        if (!CONTRASTS.contains(contrast)) {
            throw Problem.unknown('contrast', contrast, CONTRASTS)
        }
        int[] wanted = parse(differences)
        List<NdrMontage> rows = [new NdrMontage(image, wanted)]
        if (!restored.trim().isEmpty()) {
            rows.add(new NdrMontage(NdrMeasure.named(restored.trim()), wanted))
            check(rows.get(0), rows.get(1))
        }
        if (image.width < NARROWEST * wanted.length) {
            throw new Problem("${wanted.length} slices of an image ${image.width} px wide are narrower than ${NARROWEST} px; give " +
                'fewer differences')
        }
        Map<String, String> info = ['quietframe.command': 'ndr montage', 'quietframe.version': Command.version(),
            'quietframe.differences': wanted.join(','), 'quietframe.contrast': contrast]
        ImageStack stack = new ImageStack(image.width, image.height * rows.size())
        stack.addSlice("differences ${wanted.join(',')}", picture(rows, contrast))
        ImagePlus result = Hyperstacks.like(image, Hyperstacks.titled(image, '_MONTAGE'), stack, [1, 1, 1] as int[], info)
        result.calibration.frameInterval = 0.0d
        result.setDisplayRange(0.0d, 1.0d)
        result.overlay = strips(rows.get(0), result.height)
        return result
    }

    private static int[] parse(String text) {
        List<Integer> values = []
        for (String part : text.split(',')) {
            if (!part.trim().isInteger()) {
                throw new Problem("differences are whole numbers with commas between them, as 40,20,5,1; got '${text}'")
            }
            values.add(part.trim().toInteger())
        }
        if (values.min() < 1) {
            throw new Problem("differences are 1 or more sub-frames; got ${text}")
        }
        return values as int[]
    }

    private NdrMontage(ImagePlus image, int[] wanted) {
        Hyperstacks.requireGray(image)
        differences = wanted
        width = image.width
        height = image.height
        Map<String, String> info = NdrCamera.infoOf(image)
        boolean made = ['ndr.difference', 'ndr.fit', 'ndr.unit'].any { String key -> info.containsKey(key) }
        NdrCamera camera = NdrCamera.of(image, Collections.<String, Double> emptyMap())
        if (!made && image.stackSize > wanted.toList().max()) {
            fromExposure(image, camera)
        } else if (image.stackSize == wanted.length) {
            fromFrames(image, info.get('ndr.unit') ?: '', camera)
        } else {
            throw new Problem("'${image.title}' has ${image.stackSize} frames for ${wanted.length} differences; give a stack with " +
                'one frame per difference, or an exposure')
        }
    }

    private void fromExposure(ImagePlus image, NdrCamera camera) {
        NdrReads reads = new NdrReads(image)
        int start = NdrCamera.firstValid(image, reads.count)
        double gain = Double.isNaN(camera.gain) ? 1.0d : camera.gain
        unit = Double.isNaN(camera.gain) ? 'ADU' : 'e-'
        for (int k : differences) {
            int[] pair = NdrRamps.windows(reads.count, k, start + 1, 'single').get(0)
            planes.add(perSubFrame(NdrRamps.minus(reads.plane(pair[0] - 1), reads.plane(pair[1] - 1), 1f), gain / k))
        }
    }

    private void fromFrames(ImagePlus image, String stored, NdrCamera camera) {
        boolean rate = stored == 'rate' && !Double.isNaN(camera.seconds), adu = stored == 'adu' && !Double.isNaN(camera.gain)
        unit = rate || adu ? 'e-' : ([adu: 'ADU', electrons: 'e-'].get(stored) ?: '')
        for (int i = 0; i < differences.length; i++) {
            double scale = rate ? camera.seconds : (adu ? camera.gain : 1.0d) / differences[i]
            planes.add(perSubFrame(Hyperstacks.plane(image, i + 1), scale))
        }
    }

    private static float[] perSubFrame(float[] plane, double scale) {
        float[] result = new float[plane.length]
        for (int p = 0; p < result.length; p++) {
            result[p] = (float) (plane[p] * scale)
        }
        return result
    }

    private static void check(NdrMontage noisy, NdrMontage restored) {
        if (noisy.width != restored.width || noisy.height != restored.height) {
            throw new Problem("noisy and restored must have one size; got ${noisy.width} x ${noisy.height} and " +
                "${restored.width} x ${restored.height} pixels")
        }
        if (noisy.unit && restored.unit && noisy.unit != restored.unit) {
            throw new Problem("noisy is in ${noisy.unit} and restored in ${restored.unit}: one gray would stand for two lights; " +
                'make both in one unit, or give the gain')
        }
    }

    /** Where strip i begins; that of the number of strips is the width. */
    private int edge(int i) {
        return (int) Math.rint(width * i / (double) differences.length)
    }

    private static float[] picture(List<NdrMontage> rows, String contrast) {
        NdrMontage last = rows.get(rows.size() - 1)
        int width = last.width, height = last.height, longest = 0
        for (int i = 0; i < last.differences.length; i++) {
            longest = last.differences[i] > last.differences[longest] ? i : longest
        }
        float[] result = new float[width * height * rows.size()]
        for (int i = 0; i < last.differences.length; i++) {
            double[] limits = range(last.planes.get(contrast == 'each' ? i : longest))
            for (int row = 0; row < rows.size(); row++) {
                float[] plane = rows.get(row).planes.get(i)
                for (int y = 0; y < height; y++) {
                    for (int x = last.edge(i); x < last.edge(i + 1); x++) {
                        result[(row * height + y) * width + x] =
                            (float) ((plane[y * width + x] - limits[0]) / (limits[1] - limits[0]))
                    }
                }
            }
        }
        return result
    }

    /** Black and white of a plane: its percentiles 0.5 and 99.8. */
    private static double[] range(float[] plane) {
        float[] finite = new float[plane.length]
        int count = 0
        for (int p = 0; p < plane.length; p++) {
            if (Math.abs(plane[p]) <= Float.MAX_VALUE) {
                finite[count++] = plane[p]
            }
        }
        if (count == 0) {
            return [0.0d, 1.0d] as double[]
        }
        double low = NdrOrder.percentile(finite, count, 0.5d), high = NdrOrder.percentile(finite, count, 99.8d)
        return high > low ? [low, high] as double[] : [low - 0.5d, low + 0.5d] as double[]
    }

    /** A frame around each strip, named by its difference. */
    private static Overlay strips(NdrMontage row, int height) {
        Overlay overlay = new Overlay()
        for (int i = 0; i < row.differences.length; i++) {
            Roi strip = new Roi(row.edge(i), 0, row.edge(i + 1) - row.edge(i), height)
            strip.name = "k = ${row.differences[i]}"
            strip.strokeColor = new Color(0xf2, 0xa9, 0x00)
            overlay.add(strip)
        }
        overlay.drawLabels(true)
        overlay.drawNames(true)
        return overlay
    }
}
