package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.Macro
import ij.WindowManager
import ij.plugin.frame.Recorder

import java.awt.GraphicsEnvironment

/** Tries filters and models on one plane or region, judges them without truth, and applies the one that is picked. */
@CompileStatic
class Explorer {

    /** What pick may be besides the name of a method. */
    private static final List<String> PICKS = ['none', 'best']

    /**
     * The outputs of the command: `panel`, `result`, `picked` (the macro line).
     *
     * @param given methods, score options (repeat, correlated), tune, pick, and the options of all filters and models
     */
    static Map<String, Object> explore(ImagePlus image, Map<String, Object> given) {
        ExplorerRegion region = new ExplorerRegion(image)
        List<ExplorerCandidate> candidates = candidates(image, given)
        ExplorerScore judge = judge(region, given)
        String pick = ((String) given.get('pick')).trim()
        ExplorerCandidate chosen = pick in PICKS ? null : ExplorerCandidate.of(pick, given)
        if (asks()) {
            ExplorerDialog dialog = new ExplorerDialog(region, judge, candidates*.name, given)
            chosen = dialog.ask()
            return outputs(dialog.panel, image, chosen)
        }
        candidates = compare(region, judge, candidates, given.get('tune') == true)
        ImagePlus panel = ExplorerPanel.montage(region, candidates)
        ExplorerPanel.table(region, candidates, scored(given))
        if (pick == 'best') {
            chosen = candidates.find { ExplorerCandidate each -> each.problem == null }
            if (chosen == null) {
                throw new Problem("none of the methods can be run on '${image.title}': ${candidates.first().problem}")
            }
        }
        return outputs(panel, image, chosen)
    }

    /** Whether there is somebody to ask: a display, and no macro that runs. */
    static boolean asks() {
        return !GraphicsEnvironment.headless && Macro.options == null && !IJ.isMacro() && !Command.quiet
    }

    /** What the score of the candidates is from. */
    static String scored(Map<String, Object> given) {
        return ((String) given.get('repeat')).trim() ? 'halves' : 'hidden pixels'
    }

    static ExplorerScore judge(ExplorerRegion region, Map<String, Object> given) {
        String repeat = ((String) given.get('repeat')).trim()
        int radius = (int) given.get('correlated')
        if (radius < 0 || radius > 16) {
            throw new Problem("option correlated must be 0 to 16 pixels; got ${radius}")
        }
        return new ExplorerScore(region.plane, region.width, repeat ? region.ofOther(named(repeat)) : null, radius)
    }

    /** An open gray image by its title. */
    static ImagePlus named(String title) {
        ImagePlus found = WindowManager.getImage(title)
        if (found == null) {
            List<String> open = (WindowManager.imageTitles ?: new String[0]).toList()
            throw new Problem("no image '${title}' is open; open are: ${open.join(', ') ?: 'none'}")
        }
        return Hyperstacks.requireGray(found)
    }

    private static List<ExplorerCandidate> candidates(ImagePlus image, Map<String, Object> given) {
        String methods = ((String) given.get('methods')).trim()
        List<String> names = methods.isEmpty() || methods == 'auto' ? ExplorerCandidate.usual(image) :
            methods.split(',').findAll { String name -> !name.trim().isEmpty() }
        if (names.isEmpty()) {
            throw new Problem("option methods is '${methods}': give auto, or names with commas between: " +
                FilterMethod.ALL.keySet().join(', '))
        }
        return names.collect { String name -> ExplorerCandidate.of(name, given) }
    }

    /** The candidates with their results, best first; with `tune` each at its best settings. */
    static List<ExplorerCandidate> compare(ExplorerRegion region, ExplorerScore judge, List<ExplorerCandidate> candidates, boolean tune) {
        List<ExplorerCandidate> best = []
        for (int i = 0; i < candidates.size(); i++) {
            Command.progress(i, candidates.size())
            List<ExplorerCandidate> tries = tune ? candidates.get(i).tries() : [candidates.get(i)]
            best.add(sorted(tries.collect { ExplorerCandidate each -> each.measure(region, judge) }).first())
        }
        return sorted(best)
    }

    private static List<ExplorerCandidate> sorted(List<ExplorerCandidate> candidates) {
        return candidates.sort(false) { ExplorerCandidate each -> Double.isNaN(each.score) ? Double.POSITIVE_INFINITY : each.score }
    }

    private static Map<String, Object> outputs(ImagePlus panel, ImagePlus image, ExplorerCandidate chosen) {
        Map<String, Object> outputs = ['panel': panel, 'result': null, 'picked': ''] as Map<String, Object>
        if (chosen == null) {
            return outputs
        }
        outputs.put('result', chosen.apply(image))
        outputs.put('picked', chosen.line())
        System.setProperty('quietframe.explored', chosen.line())
        IJ.log("Quietframe Explore Filters: in a macro this pick is ${chosen.line()}")
        if (Recorder.record) {
            Recorder.recordString(chosen.line() + '\n')
        }
        return outputs
    }
}
