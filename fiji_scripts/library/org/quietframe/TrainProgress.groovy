package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.gui.Plot
import ij.gui.PlotWindow

import java.awt.Color
import java.awt.GraphicsEnvironment

/** Shows how a training goes: the status line with loss and time left, the bar; with a display the loss as a plot, and a preview. */
@CompileStatic
class TrainProgress implements PythonWorker.Listener {

    private static final long PLOT_EVERY_MS = 1000, LOG_EVERY_MS = 10000

    private final String title
    private final long start = System.currentTimeMillis()
    private final List<Double> steps = [], losses = []
    private final boolean plotted = !GraphicsEnvironment.headless
    private PlotWindow window
    private ImagePlus preview
    private long lastPlot, lastLog = start, firstStep, firstStepAt

    TrainProgress(String title) {
        this.title = title
    }

    @Override
    void progress(String message, long done, long total, Map<String, Object> info) {
        long now = System.currentTimeMillis()
        String left = message.startsWith('training') ? timeLeft(done, total, now) : ''
        IJ.showStatus("Quietframe: ${message}${left}")
        IJ.showProgress(total > 0 ? Math.min(0.999d, (double) done / total) : 0d)
        double loss = lossIn(message)
        if (!Double.isNaN(loss)) {
            steps.add((double) done)
            losses.add(loss)
        }
        if (now - lastLog >= LOG_EVERY_MS) {
            lastLog = now
            IJ.log("Quietframe Train: ${message}, step ${done} of ${total}${left}")
        }
        if (plotted && now - lastPlot >= PLOT_EVERY_MS && losses.size() > 1) {
            lastPlot = now
            draw()
        }
        if (plotted && info.get('preview') != null) {
            show(IJ.openImage(info.get('preview').toString()))
        }
    }

    /** The number after "loss " in what the training says, NaN without one. */
    static double lossIn(String message) {
        String number = (message =~ /\bloss (\d[\d.e+-]*\d|\d)/).with { it.find() ? it.group(1) : '' }
        return number.isDouble() ? number.toDouble() : Double.NaN
    }

    private String timeLeft(long done, long total, long now) {
        if (firstStepAt == 0) { // the first step waits for much that does not come again
            firstStepAt = now
            firstStep = done
        }
        if (done <= firstStep || now - firstStepAt < 500) {
            return ''
        }
        long seconds = Math.round((now - firstStepAt) / 1000d / (done - firstStep) * (total - done))
        return seconds < 90 ? ", ${seconds} s left" : ", ${Math.round(seconds / 60d)} min left"
    }

    /** A piece of the picture, noisy beside restored, in a window that stays closed when it was closed. */
    private void show(ImagePlus made) {
        if (made != null && preview == null) {
            preview = made
            preview.title = "Preview of ${title}"
            preview.show()
        } else if (made != null && preview.isVisible()) {
            preview.setProcessor(made.getProcessor())
        }
    }

    private void draw() {
        Plot plot = new Plot("Loss of ${title}", 'step', 'loss')
        plot.setColor(Color.BLUE)
        plot.addPoints(steps as double[], losses as double[], Plot.LINE)
        if (window == null) {
            window = plot.show()
        } else if (window.isVisible()) {
            window.drawPlot(plot)
        }
    }
}
