package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.WindowManager
import ij.gui.Line
import ij.gui.Plot
import ij.gui.ProfilePlot
import ij.gui.Roi
import ij.plugin.frame.SyncWindows
import ij.process.FloatProcessor
import ij.process.LUT

import java.awt.Button
import java.awt.Color
import java.awt.Component
import java.awt.Container
import java.awt.GraphicsEnvironment
import java.awt.event.ActionEvent

/** An image beside its result: difference, z-map against a repeat, and the profile of both under one line. */
@CompileStatic
class Compare {

    /**
     * The outputs of the command: `difference` and `z_map` (all planes), `profile` (a plot), `comparison` (the current
     * plane of all of them as one stack), and `flagged`, the share of pixels where the repeat contradicts the result.
     *
     * @param result title of the result
     * @param repeat title of an image of the same scene with independent noise; empty = no z-map
     * @param line   none, auto (the selection where it is a line, else the middle row), selection, or x1,y1,x2,y2
     */
    static Map<String, Object> compare(ImagePlus image, String result, String repeat, String line, boolean synchronize) {
        Hyperstacks.requireGray(image)
        ImagePlus after = other(image, result, 'result'), again = repeat.trim() ? other(image, repeat, 'repeat') : null
        Line under = lineIn(image, line)
        int count = image.stackSize, flagged = 0
        ImageStack differences = new ImageStack(image.width, image.height), zs = new ImageStack(image.width, image.height)
        for (int i = 1; i <= count; i++) {
            Command.progress(i - 1, count)
            float[] noisy = Hyperstacks.plane(image, i), clean = Hyperstacks.plane(after, i)
            String label = image.getStack().getSliceLabel(i)
            differences.addSlice(label, minus(noisy, clean))
            if (again != null) {
                float[] z = CompareNoise.zMap(noisy, clean, Hyperstacks.plane(again, i), image.width)
                flagged += beyond(z)
                zs.addSlice(label, z)
            }
        }
        Map<String, String> info = settings(after, again)
        ImagePlus difference = dressed(image, 'DIFFERENCE', differences, info)
        double gray = most((float[]) differences.getPixels(image.currentSlice))
        difference.setDisplayRange(-gray, gray)
        ImagePlus zMap = again == null ? null : dressed(image, 'Z', zs, info)
        double share = again == null ? Double.NaN : flagged / ((double) count * image.width * image.height)
        if (again != null) {
            zMap.setDisplayRange(-CompareNoise.Z_LIMIT, CompareNoise.Z_LIMIT)
            IJ.log("Quietframe Compare: the repeat contradicts the result (|z| > ${CompareNoise.Z_LIMIT}) at " +
                "${flagged} of ${(long) count * image.width * image.height} pixels")
        }
        Map<String, Object> outputs = ['difference': difference, 'z_map': zMap, 'flagged': share,
            'profile': under == null ? null : profile(image, after, under)] as Map<String, Object>
        outputs.put('comparison', side(image, after, difference, zMap))
        if (synchronize && !GraphicsEnvironment.headless && image.window != null && after.window != null) {
            synchronizeWindows([image, after, difference, zMap].findAll { ImagePlus each -> each != null })
        }
        return outputs
    }

    private static ImagePlus other(ImagePlus image, String title, String role) {
        if (title.trim().isEmpty()) {
            throw new Problem("option ${role}: give the title of the ${role}; open are: ${(WindowManager.imageTitles ?: new String[0]).join(', ')}")
        }
        ImagePlus found = WindowManager.getImage(title.trim())
        if (found == null) {
            throw new Problem("option ${role}: no image '${title.trim()}' is open; open are: ${(WindowManager.imageTitles ?: new String[0]).join(', ') ?: 'none'}")
        }
        Hyperstacks.requireGray(found)
        if (found.dimensions != image.dimensions) {
            throw new Problem("option ${role}: '${found.title}' has dimensions ${found.dimensions.join(' x ')} (x, y, c, z, t), " +
                "'${image.title}' ${image.dimensions.join(' x ')}; only pictures of the same pixels can be compared")
        }
        return found
    }

    private static float[] minus(float[] noisy, float[] clean) {
        float[] values = new float[noisy.length]
        for (int i = 0; i < values.length; i++) {
            values[i] = noisy[i] - clean[i]
        }
        return values
    }

    /** What all but one in 200 pixels stay below, so that a hot pixel does not make the others gray. */
    private static double most(float[] difference) {
        float[] sizes = new float[difference.length]
        for (int i = 0; i < sizes.length; i++) {
            sizes[i] = Float.isNaN(difference[i]) ? 0f : Math.abs(difference[i])
        }
        Arrays.sort(sizes)
        float most = sizes[(int) (0.995d * (sizes.length - 1))]
        return most > 0 ? most : 1.0d
    }

    private static int beyond(float[] z) {
        int count = 0
        for (int i = 0; i < z.length; i++) {
            count += Math.abs(z[i]) > CompareNoise.Z_LIMIT ? 1 : 0
        }
        return count
    }

    private static Map<String, String> settings(ImagePlus after, ImagePlus again) {
        Map<String, String> info = ['quietframe.version': Command.version(), 'quietframe.command': 'compare',
            'quietframe.result': after.title]
        if (again != null) {
            info.put('quietframe.repeat', again.title)
        }
        return info
    }

    private static ImagePlus dressed(ImagePlus image, String suffix, ImageStack stack, Map<String, String> info) {
        int[] czt = [image.getNChannels(), image.getNSlices(), image.getNFrames()] as int[]
        ImagePlus made = Hyperstacks.like(image, Hyperstacks.titled(image, '_' + suffix), stack, czt, info)
        made.setPosition(image.channel, image.slice, image.frame)
        made.getProcessor().setLut(LUT.createLutFromColor(Color.white))
        made.resetDisplayRange()
        return made
    }

    /** The current plane of all pictures as a stack. */
    private static ImagePlus side(ImagePlus image, ImagePlus after, ImagePlus difference, ImagePlus zMap) {
        ImageStack stack = new ImageStack(image.width, image.height)
        stack.addSlice('original', Hyperstacks.plane(image, image.currentSlice))
        stack.addSlice('result', Hyperstacks.plane(after, image.currentSlice))
        stack.addSlice('difference (original - result)', (float[]) ((float[]) difference.getStack().getPixels(image.currentSlice)).clone())
        if (zMap != null) {
            stack.addSlice('z (repeat - result)', (float[]) ((float[]) zMap.getStack().getPixels(image.currentSlice)).clone())
        }
        ImagePlus made = new ImagePlus(Hyperstacks.titled(image, '_COMPARED'), stack)
        made.calibration = image.calibration.copy()
        made.calibration.disableDensityCalibration()
        made.setDisplayRange(image.displayRangeMin, image.displayRangeMax)
        return made
    }

    /** The line that is asked for; null for none. */
    static Line lineIn(ImagePlus image, String text) {
        String asked = text.trim()
        if (asked == 'none') {
            return null
        }
        Roi roi = image.roi
        if (asked == 'selection' || asked == 'auto') {
            if (roi instanceof Line) {
                return (Line) roi
            }
            if (asked == 'selection') {
                throw new Problem('line=selection, but the image has no straight line: draw one, or give x1,y1,x2,y2')
            }
            return new Line(0, image.height.intdiv(2) as int, image.width - 1, image.height.intdiv(2) as int)
        }
        if (!(asked ==~ /\d{1,7}(\.\d+)?\s*(,\s*\d{1,7}(\.\d+)?\s*){3}/)) {
            throw new Problem("option line is '${asked}': give auto, none, selection, or x1,y1,x2,y2")
        }
        double[] ends = asked.split(',').collect { String part -> part.trim().toDouble() } as double[]
        if (Math.max(ends[0], ends[2]) > image.width - 1 || Math.max(ends[1], ends[3]) > image.height - 1) {
            throw new Problem("option line is '${asked}': it ends outside of '${image.title}' (${image.width} x ${image.height} pixels)")
        }
        return new Line(ends[0], ends[1], ends[2], ends[3])
    }

    /** Values of a plane under a line, as ImageJ's Plot Profile takes them. */
    static double[] under(ImagePlus image, int index, Line line) {
        ImagePlus plane = new ImagePlus('', new FloatProcessor(image.width, image.height, Hyperstacks.plane(image, index)))
        plane.setRoi((Roi) line.clone())
        return new ProfilePlot(plane).profile
    }

    /** The current plane of both under a line, as a plot. */
    static ImagePlus profile(ImagePlus image, ImagePlus after, Line line) {
        double[] before = under(image, image.currentSlice, line), restored = under(after, image.currentSlice, line)
        double step = line.rawLength / Math.max(1, before.length - 1)
        double[] along = new double[before.length]
        for (int i = 0; i < along.length; i++) {
            along[i] = i * step
        }
        Plot plot = new Plot("Profiles of ${image.title}", 'distance along the line [px]', 'gray value')
        plot.setColor(Color.gray)
        plot.add('line', along, before)
        plot.setColor(Color.red)
        plot.add('line', along, restored)
        plot.setColor(Color.black)
        plot.addLegend("${image.title}\n${after.title}")
        plot.setLimitsToFit(false)
        ImagePlus made = plot.imagePlus
        made.setProperty('Info', "quietframe.line = ${NdrKnown.text('%.1f', line.x1d)},${NdrKnown.text('%.1f', line.y1d)}," +
            "${NdrKnown.text('%.1f', line.x2d)},${NdrKnown.text('%.1f', line.y2d)}\n")
        return made
    }

    private static void synchronizeWindows(List<ImagePlus> images) {
        images.each { ImagePlus each ->
            if (each.window == null) {
                each.show()
            }
        }
        IJ.run('Tile')
        SyncWindows tool = SyncWindows.instance ?: new SyncWindows()
        tool.visible = true
        Button all = buttons(tool).find { Button each -> each.label == 'Synchronize All' }
        if (all != null) {
            tool.actionPerformed(new ActionEvent(all, ActionEvent.ACTION_PERFORMED, all.label))
        }
    }

    private static List<Button> buttons(Container holder) {
        List<Button> found = []
        for (Component part : holder.components) {
            if (part instanceof Button) {
                found.add((Button) part)
            } else if (part instanceof Container) {
                found.addAll(buttons((Container) part))
            }
        }
        return found
    }
}
