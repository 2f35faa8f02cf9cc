package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.WindowManager
import ij.gui.DialogListener
import ij.gui.GenericDialog
import ij.plugin.filter.ExtendedPlugInFilter
import ij.plugin.filter.PlugInFilterRunner
import ij.process.FloatProcessor
import ij.process.ImageProcessor

import java.awt.AWTEvent
import java.awt.Checkbox
import java.awt.Component
import java.awt.EventQueue
import java.awt.Label
import java.awt.event.ActionEvent
import java.awt.event.ActionListener
import java.awt.event.ItemEvent
import java.awt.event.WindowAdapter
import java.awt.event.WindowEvent
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.ThreadFactory

/** The window of the explorer: a method, its sliders, and what they do to the region while they are moved. */
@CompileStatic
class ExplorerDialog implements ExtendedPlugInFilter, DialogListener {

    /** Smallest, largest and step of the sliders. */
    private static final Map<String, double[]> SLIDERS = [
        'sigma': [0, 20, 0.1d] as double[], 'radius': [0, 20, 0.5d] as double[], 'mask': [0, 0.99d, 0.01d] as double[],
        'threshold': [0, 1000, 1] as double[], 'rolling': [1, 200, 1] as double[], 'x': [0, 10, 0.5d] as double[],
        'y': [0, 10, 0.5d] as double[], 'z': [0, 10, 0.5d] as double[],
    ]
    private static final Map<String, String> LABELS = [
        'sigma': 'Sigma [px]', 'radius': 'Radius [px]', 'mask': 'Mask weight', 'threshold': 'Threshold',
        'rolling': 'Rolling ball [px]', 'x': 'X [px]', 'y': 'Y [px]', 'z': 'Z [planes]', 'light': 'Light background',
        'dont_subtract': 'The background itself (top hat)', 'create': 'Create background', 'sliding': 'Sliding paraboloid',
        'disable': 'Disable smoothing',
    ]
    private static final List<String> FLAGS = ['light', 'dont_subtract', 'create', 'sliding', 'disable']

    private final ExplorerRegion region
    private final ExplorerScore judge
    private final List<String> methods
    private final Map<String, Object> given
    private final ImagePlus preview
    private final Map<String, List<Component>> rows = [:]
    // A model cannot be interrupted: it runs here, and whoever waits for it goes on when the user has gone on.
    private final ExecutorService worker = Executors.newSingleThreadExecutor({ Runnable work ->
        Thread thread = new Thread(work, 'quietframe explorer')
        thread.daemon = true
        thread
    } as ThreadFactory)
    private final Map<String, float[]> ofModels = new java.util.concurrent.ConcurrentHashMap<String, float[]>()
    private GenericDialog dialog
    private Label status
    private volatile ExplorerCandidate current
    /** The candidates side by side, when the user asked for them; and how long the last preview took. */
    volatile ImagePlus panel
    volatile double lastSeconds = Double.NaN
    /** How many previews were shown. */
    volatile int shown

    ExplorerDialog(ExplorerRegion region, ExplorerScore judge, List<String> methods, Map<String, Object> given) {
        this.region = region
        this.judge = judge
        List<String> all = methods + FilterMethod.ALL.keySet().findAll { String name -> region.image.getNSlices() > 1 || !name.endsWith('-3d') }
        this.methods = (all + Models.names()).unique()
        this.given = given
        preview = new ImagePlus("Preview of ${region.image.title}", new FloatProcessor(region.width, region.height, (float[]) region.plane.clone()))
        preview.getProcessor().setLut(region.image.getProcessor().getLut())
        double[] grays = ExplorerPanel.range(region)
        preview.setDisplayRange(grays[0], grays[1])
    }

    /** Show the window; the candidate that was picked. */
    ExplorerCandidate ask() {
        preview.show()
        WindowManager.setTempCurrentImage(preview)
        try {
            new PlugInFilterRunner(this, 'Quietframe Explore Filters', '')
        } finally {
            WindowManager.setTempCurrentImage(null)
            worker.shutdownNow()
            preview.changes = false
            preview.close()
        }
        if (dialog == null || dialog.wasCanceled()) {
            throw new Problem('no method was picked; there is no result')
        }
        return current
    }

    /** Run models anew; their results are kept, for they have no sliders. */
    void forget() {
        ofModels.clear()
    }

    @Override
    int setup(String arg, ImagePlus image) { DOES_32 | NO_UNDO }

    @Override
    void setNPasses(int passes) { }

    @Override
    int showDialog(ImagePlus image, String command, PlugInFilterRunner runner) {
        dialog = new GenericDialog('Quietframe Explore Filters')
        dialog.addChoice('Method', methods as String[], methods.first())
        SLIDERS.each { String name, double[] range -> addSlider(name, range) }
        dialog.addChoice('Outliers', ['bright', 'dark'] as String[], (String) given.get('which'))
        rows.put('which', [dialog.getLabel(), (Component) dialog.choices.lastElement()])
        for (String name : FLAGS) {
            dialog.addCheckbox(LABELS.get(name), given.get(name) == true)
            rows.put(name, [(Component) dialog.checkboxes.lastElement()])
        }
        dialog.addMessage('                                                                      ')
        status = (Label) dialog.message
        dialog.addButton('Compare all methods at these settings', { ActionEvent event -> compareAll(false) } as ActionListener)
        dialog.addButton('Compare all methods at their best settings', { ActionEvent event -> compareAll(true) } as ActionListener)
        dialog.addPreviewCheckbox(runner)
        previewWhenShown()
        dialog.addDialogListener(this)
        read()
        showRows()
        dialog.showDialog()
        return DONE // the pick is applied to a copy of all of the image, not to the preview
    }

    /** Live from the start: the checkbox is ticked as a user would, when there is something to see. */
    private void previewWhenShown() {
        Checkbox live = dialog.previewCheckbox
        dialog.addWindowListener(new WindowAdapter() {
            @Override
            void windowOpened(WindowEvent event) {
                live.state = true
                dialog.itemStateChanged(new ItemEvent(live, ItemEvent.ITEM_STATE_CHANGED, live.label, ItemEvent.SELECTED))
            }
        })
    }

    private void addSlider(String name, double[] range) {
        double value = ((Number) given.get(name)).doubleValue()
        value = name == 'radius' && value < 0 ? 2.0d : value
        dialog.addSlider(LABELS.get(name), Math.min(range[0], value), Math.max(range[1], value), value, range[2])
        rows.put(name, [dialog.getLabel(), ((Component) dialog.sliders.lastElement()).parent] as List<Component>)
    }

    @Override
    boolean dialogItemChanged(GenericDialog changed, AWTEvent event) {
        boolean valid = read()
        showRows()
        return valid
    }

    /** Take the candidate from the fields; whether they hold one. */
    private boolean read() {
        dialog.resetCounters()
        String name = dialog.nextChoice
        Map<String, Object> settings = new HashMap<String, Object>(given)
        SLIDERS.keySet().each { String option -> settings.put(option, dialog.nextNumber) }
        settings.put('which', dialog.nextChoice)
        FLAGS.each { String option -> settings.put(option, dialog.nextBoolean) }
        dialog.nextBoolean // the preview's own
        if (dialog.invalidNumber()) {
            return false
        }
        try {
            current = ExplorerCandidate.of(name, settings)
            return true
        } catch (Problem problem) {
            say(problem.message)
            return false
        }
    }

    /** Show the fields that the method has. */
    private void showRows() {
        if (current == null) {
            return
        }
        List<String> own = current.method == null ? [] as List<String> : current.method.options
        boolean moved = false
        rows.each { String name, List<Component> parts ->
            boolean visible = name in own
            for (Component part : parts) {
                moved |= part.visible != visible
                part.visible = visible
            }
        }
        if (moved) {
            dialog.pack()
        }
    }

    @Override
    void run(ImageProcessor pixels) {
        ExplorerCandidate candidate = current
        if (candidate == null) {
            return
        }
        long start = System.nanoTime()
        try {
            float[] result = within { ofCandidate(candidate) } as float[]
            if (result == null || Thread.currentThread().interrupted) {
                return
            }
            System.arraycopy(result, 0, (float[]) pixels.pixels, 0, result.length)
            lastSeconds = (System.nanoTime() - start) / 1e9d
            shown++
            say("noise ${ExplorerPanel.short3(ExplorerScore.noise(region.plane, region.width))} -> " +
                "${ExplorerPanel.short3(ExplorerScore.noise(result, region.width))}, ${ExplorerPanel.short3(lastSeconds)} s")
        } catch (Problem problem) {
            say(problem.message)
        }
    }

    private float[] ofCandidate(ExplorerCandidate candidate) {
        if (candidate.method != null) {
            if (candidate.method.volumes) {
                Filters.requireVolumes(region.image, candidate.method)
            }
            return candidate.run(region, [region.plane]).first()
        }
        float[] known = ofModels.get(candidate.model.path)
        if (known == null) {
            known = candidate.run(region, [region.plane]).first()
            ofModels.put(candidate.model.path, known)
        }
        return known
    }

    /** Run in the worker; null when the thread that waits is told to stop, which it does at once. */
    private Object within(Callable<Object> work) {
        Future<Object> future = worker.submit(work)
        try {
            return future.get()
        } catch (InterruptedException stopped) {
            future.cancel(true)
            Thread.currentThread().interrupt()
            return null
        } catch (ExecutionException error) {
            if (error.cause instanceof Problem) {
                throw error.cause
            }
            throw new Problem("the preview failed: ${error.cause}", error.cause)
        }
    }

    private void compareAll(boolean tune) {
        ExplorerCandidate now = current
        Map<String, Object> settings = new HashMap<String, Object>(given)
        settings.putAll(now.settings)
        worker.submit({
            Command.run('Quietframe Explore Filters') {
                List<String> names = (ExplorerCandidate.usual(region.image) + now.name).unique()
                List<ExplorerCandidate> all = names.collect { String name ->
                    name == now.name ? now : ExplorerCandidate.of(name, settings)
                }
                all = Explorer.compare(region, judge, all, tune)
                ExplorerPanel.table(region, all, Explorer.scored(given))
                ImagePlus made = ExplorerPanel.montage(region, all)
                made.show()
                panel = made
                null
            }
        } as Runnable)
    }

    private void say(String text) {
        EventQueue.invokeLater {
            status?.text = text.take(110)
        }
    }
}
