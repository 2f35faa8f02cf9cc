package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.WindowManager
import ij.gui.Roi
import ij.measure.ResultsTable

import java.awt.Rectangle

/** Report SNR and PSNR' of every frame of a stack, into the Results table: quietframe/ndr/measure.py for ImageJ. */
@CompileStatic
class NdrMeasure {

    private static final int BLOCK = 17
    static final List<String> FIGURES =
        ['snr', 'snr_background_subtracted', 'psnr_prime', 'psnr_prime_background_subtracted']

    /**
     * Measure an image, and a restored one (its title, empty = none) in the same regions; regions are named as in
     * `RoiStatistics.find`, or auto. The means over frames, and the percent that the restored one gains.
     */
    static Map<String, Double> measure(ImagePlus image, String restored, String bright, String dark) {
        Hyperstacks.requireGray(image)
        ImagePlus other = restored.trim().isEmpty() ? null : named(restored.trim())
        if (other != null && (other.width != image.width || other.height != image.height)) {
            throw new Problem("'${other.title}' is ${other.width} x ${other.height} pixels, '${image.title}' ${image.width} x " +
                "${image.height}; both are measured in the same regions")
        }
        float[] mean = bright.trim() == 'auto' || dark.trim() == 'auto' ? meanFrame(image) : null
        Roi brightRoi = region(image, bright, 'bright', mean), darkRoi = region(image, dark, 'dark', mean)
        ResultsTable table = ResultsTable.resultsTable
        Map<String, Double> result = means(image, 'noisy', brightRoi, darkRoi, table)
        say(image, result)
        if (other != null) {
            Map<String, Double> after = means(other, 'restored', brightRoi, darkRoi, table)
            say(other, after)
            FIGURES.each { String name ->
                double before = result.get(name)
                result.put("${name}_gain_percent".toString(), 100.0d * (after.get(name) / before - 1.0d))
            }
            IJ.log("SNR ${NdrKnown.text('%+.1f', result.get('snr_gain_percent'))} %, PSNR' " +
                "${NdrKnown.text('%+.1f', result.get('psnr_prime_gain_percent'))} %")
        }
        table.show('Results')
        return result
    }

    private static void say(ImagePlus image, Map<String, Double> means) {
        IJ.log("${image.title}: SNR ${NdrKnown.text('%.4g', means.get('snr'))}, PSNR' " +
            "${NdrKnown.text('%.4g', means.get('psnr_prime'))} (means over ${image.stackSize} frames)")
    }

    /** An open gray image by its title. */
    static ImagePlus named(String title) {
        ImagePlus found = WindowManager.getImage(title)
        if (found == null) {
            List<String> open = (WindowManager.imageTitles ?: new String[0]).toList()
            throw new Problem("restored: no image '${title}' is open; open are: ${open.join(', ') ?: 'none'}")
        }
        return Hyperstacks.requireGray(found)
    }

    private static float[] meanFrame(ImagePlus image) {
        int frames = image.stackSize
        double[] sum = new double[image.width * image.height]
        for (int i = 1; i <= frames; i++) {
            Command.progress(i - 1, 2 * frames)
            add(Hyperstacks.plane(image, i), sum)
        }
        float[] mean = new float[sum.length]
        for (int p = 0; p < mean.length; p++) {
            mean[p] = (float) (sum[p] / frames)
        }
        return mean
    }

    private static void add(float[] plane, double[] sum) {
        for (int p = 0; p < sum.length; p++) {
            sum[p] = sum[p] + plane[p]
        }
    }

    private static Roi region(ImagePlus image, String text, String name, float[] mean) {
        if (text.trim() != 'auto') {
            return RoiStatistics.find(image, text, name)
        }
        Roi roi = RoiStatistics.extremeBlock(mean, image.width, BLOCK, name == 'bright')
        IJ.log("${name} region found: x,y,width,height = ${textOf(roi)} of the mean over all frames of ${image.title}; ${name} sets it")
        return roi
    }

    private static String textOf(Roi roi) {
        Rectangle box = roi.bounds
        return "${box.@x},${box.@y},${box.@width},${box.@height}"
    }

    private static Map<String, Double> means(ImagePlus image, String role, Roi bright, Roi dark, ResultsTable table) {
        Map<String, Double> sums = [:]
        int frames = image.stackSize
        String difference = NdrCamera.infoOf(image).get('ndr.difference')
        for (int i = 1; i <= frames; i++) {
            Command.progress(i - 1, frames)
            Map<String, Double> row = row(Hyperstacks.plane(image, i), image, i, bright, dark)
            table.incrementCounter()
            String label = frames > 1 ? image.getStack().getSliceLabel(i) : null
            table.addLabel(image.title + (label ? ':' + label.readLines()[0] : ''))
            table.addValue('role', role)
            table.addValue('difference', difference ?: '')
            table.addValue('frame', (double) i)
            row.each { String name, Double value ->
                table.addValue(name, (double) value)
                double before = sums.get(name) ?: 0.0d, here = value
                sums.put(name, (Double) (before + here / frames))
            }
            table.addValue('bright', textOf(bright))
            table.addValue('dark', textOf(dark))
        }
        return sums
    }

    private static Map<String, Double> row(float[] plane, ImagePlus image, int frame, Roi bright, Roi dark) {
        int width = image.width
        RoiStatistics light = RoiStatistics.of(plane, width, bright, "bright region of '${image.title}', frame ${frame},".toString())
        RoiStatistics ground = RoiStatistics.of(plane, width, dark, "dark region of '${image.title}', frame ${frame},".toString())
        double highest = RoiStatistics.of(plane, width, null, "image '${image.title}', frame ${frame},".toString()).maximum
        if (ground.std == 0.0d || ground.minimum == ground.maximum) {
            throw new Problem("'${image.title}', frame ${frame}: the dark region is constant (all ${ground.pixels} pixels are " +
                "${ground.mean}, std 0), so it shows no noise; choose another region (clipped or saturated?)")
        }
        return [
            snr: light.mean / ground.std, snr_background_subtracted: (light.mean - ground.mean) / ground.std,
            psnr_prime: highest / ground.std, psnr_prime_background_subtracted: (highest - ground.mean) / ground.std,
            bright_mean: light.mean, dark_mean: ground.mean, dark_std: ground.std,
        ]
    }
}
