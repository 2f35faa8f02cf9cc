package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.Macro
import ij.gui.GenericDialog

import java.awt.GraphicsEnvironment

/** Finds the model that is meant: a path, a name in Fiji's `models` folder, or the one that the user picks. */
@CompileStatic
class Models {

    /** Folder of the models in the list: property quietframe.models, else `models` in the folder of Fiji. */
    static File folder() {
        String named = System.getProperty('quietframe.models')
        if (named) {
            return new File(named)
        }
        String home = IJ.getDirectory('imagej')
        return new File(home ?: System.getProperty('user.home'), 'models')
    }

    /** Names of the models in the folder: packages (.zip or a folder with weights.onnx) and .onnx files, sorted. */
    static List<String> names() {
        File[] found = folder().listFiles()
        return (found == null ? [] as List<File> : found.toList()).findAll { File file ->
            file.isDirectory() ? new File(file, ModelFile.WEIGHTS).isFile() : file.name.toLowerCase() ==~ /.*\.(zip|onnx)/
        }*.name.sort()
    }

    /** The file that a macro's model=... means; without one, and with a window to ask in, the user picks it. */
    static File find(String given) {
        String named = given == null ? '' : given.trim()
        if (named.isEmpty()) {
            if (GraphicsEnvironment.headless || Macro.options != null || IJ.isMacro()) {
                throw new Problem("no model is given: give model=[path of a package (.zip) or of an .onnx file]${listed()}")
            }
            named = ask()
        }
        for (File file : [new File(named), new File(folder(), named), new File(folder(), named + '.zip'), new File(folder(), named + '.onnx')]) {
            if (file.isFile() || new File(file, ModelFile.WEIGHTS).isFile()) {
                return file.absoluteFile
            }
        }
        throw new Problem("the model ${named} does not exist; give the path of a package (.zip) or of an .onnx file${listed()}")
    }

    private static String listed() {
        List<String> names = names()
        return names.isEmpty() ? '' : ", or one of ${names.take(20).join(', ')} (in ${folder()})"
    }

    /** Show the list and a field that takes a file dragged on it. */
    private static String ask() {
        List<String> names = names()
        GenericDialog dialog = new GenericDialog('Quietframe: which model?')
        if (!names.isEmpty()) {
            dialog.addChoice('Model', names as String[], names.first())
        }
        dialog.addFileField(names.isEmpty() ? 'File (drag it here)' : 'or a file (drag it here)', '')
        dialog.addMessage("Models in ${folder()} are listed.")
        dialog.showDialog()
        if (dialog.wasCanceled()) {
            throw new Problem('no model was chosen; there is no result')
        }
        String chosen = names.isEmpty() ? '' : dialog.nextChoice
        String file = dialog.nextString.trim()
        chosen = file.isEmpty() ? chosen : file
        if (chosen.isEmpty()) {
            throw new Problem('no model was chosen; there is no result')
        }
        IJ.log("Quietframe: in a macro this choice is model=[${chosen}]")
        return chosen
    }
}
