package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack
import ij.gui.Overlay
import ij.gui.TextRoi
import ij.measure.ResultsTable
import ij.process.FloatProcessor
import ij.process.ImageProcessor

import java.awt.Color
import java.awt.Font

/** Candidates side by side: a montage with labels, one gray everywhere, and a row of numbers for each. */
@CompileStatic
class ExplorerPanel {

    private static final int GAP = 4

    /** The montage; the image itself comes first. */
    static ImagePlus montage(ExplorerRegion region, List<ExplorerCandidate> candidates) {
        List<ExplorerCandidate> shown = candidates.findAll { ExplorerCandidate each -> each.result != null }
        int columns = (int) Math.ceil(Math.sqrt(shown.size() + 1.0d)), size = textSize(region)
        int cellWidth = region.width + GAP, cellHeight = region.height + 2 * size + 3 * GAP
        int rows = (int) Math.ceil((shown.size() + 1.0d) / columns)
        FloatProcessor pixels = new FloatProcessor(columns * cellWidth + GAP, rows * cellHeight + GAP)
        double[] range = range(region)
        pixels.setColor(range[0])
        pixels.fill()
        Overlay labels = new Overlay()
        place(pixels, labels, region, region.plane, 0, columns, [region.image.title,
            "noise ${short3(ExplorerScore.noise(region.plane, region.width))}".toString()])
        for (int i = 0; i < shown.size(); i++) {
            ExplorerCandidate each = shown.get(i)
            place(pixels, labels, region, each.result, i + 1, columns, [each.label(),
                "noise ${short3(each.noise)}, error ${short3(each.score)}, ${short3(each.seconds)} s".toString()])
        }
        ImagePlus panel = new ImagePlus("Candidates for ${region.image.title}", pixels)
        panel.setDisplayRange(range[0], range[1])
        panel.setOverlay(labels)
        panel.setProperty('Info', candidates.collect { ExplorerCandidate each ->
            "${each.label()} = ${each.problem ?: each.line()}"
        }.join('\n') + '\n')
        return panel
    }

    /** A row per candidate in the Results table, best first. */
    static void table(ExplorerRegion region, List<ExplorerCandidate> candidates, String scored) {
        ResultsTable table = ResultsTable.resultsTable
        for (ExplorerCandidate each : candidates) {
            table.incrementCounter()
            table.addLabel(region.image.title)
            table.addValue('method', each.name)
            table.addValue('settings', each.method == null ? '' : FilterMethod.words(each.settings))
            table.addValue('noise', each.noise)
            table.addValue('error', each.score)
            table.addValue('scored_by', scored)
            table.addValue('seconds', each.seconds)
            table.addValue('problem', each.problem ?: '')
        }
        table.show('Results')
    }

    private static void place(FloatProcessor pixels, Overlay labels, ExplorerRegion region, float[] plane, int at, int columns, List<String> lines) {
        int size = textSize(region)
        int x = GAP + (at % columns) * (region.width + GAP)
        int y = GAP + (at.intdiv(columns) as int) * (region.height + 2 * size + 3 * GAP)
        pixels.insert(new FloatProcessor(region.width, region.height, plane), x, y + 2 * size + 2 * GAP)
        lines.eachWithIndex { String line, int i ->
            TextRoi text = new TextRoi((double) x, (double) (y + i * (size + 1)), line, new Font('SansSerif', i == 0 ? Font.BOLD : Font.PLAIN, size))
            text.strokeColor = Color.yellow
            labels.add(text)
        }
    }

    private static int textSize(ExplorerRegion region) {
        return Math.max(8, Math.min(24, region.width.intdiv(22) as int))
    }

    /** Gray values that leave half a percent black and white. */
    static double[] range(ExplorerRegion region) {
        float[] sorted = (float[]) region.plane.clone()
        Arrays.sort(sorted)
        int out = sorted.length.intdiv(200) as int
        double low = sorted[out], high = sorted[sorted.length - 1 - out]
        return [low, high > low ? high : low + 1] as double[]
    }

    static String short3(double value) {
        return Double.isNaN(value) ? '-' : new BigDecimal(value).round(new java.math.MathContext(3)).stripTrailingZeros().toPlainString()
    }
}
