package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.Macro
import ij.Prefs
import ij.gui.GenericDialog

import java.awt.GraphicsEnvironment
import java.util.concurrent.TimeUnit

/** Finds the Python that has the user's quietframe, and says what it lacks. */
@CompileStatic
class PythonWorkerPlace {

    static final String PROPERTY = 'quietframe.python', PREFERENCE = 'quietframe.python'
    static final int WAIT_S = 60

    private static final boolean WINDOWS = System.getProperty('os.name').toLowerCase().contains('windows')
    private static final String HOW = "install it with: pip install 'quietframe[train,fiji]'. Then give the Python that has it, " +
        'python=[path of its python, or the folder of its environment]'
    /** Printed by Python itself: versions of what is needed, without importing any of it. */
    private static final String QUESTION = '''
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print("quietframe-python", json.dumps({"python": "%d.%d" % sys.version_info[:2], **{name: version(name) for name in
      ("quietframe", "appose", "torch", "onnx", "onnxruntime", "onnxruntime-gpu")}}))
'''

    final File python
    /** Versions by name, null for what is not there. */
    final Map<String, Object> versions

    private PythonWorkerPlace(File python, Map<String, Object> versions) {
        this.python = python
        this.versions = versions
    }

    /**
     * The Python to use: the one given, else the property quietframe.python, else the one used last, else one on PATH;
     * where there is none and a display is there, the user is asked. `needs`: packages beside quietframe and appose.
     */
    static PythonWorkerPlace find(String given, List<String> needs) {
        String named = given?.trim() ?: System.getProperty(PROPERTY)?.trim()
        if (named) {
            return remembered(check(executable(named), needs))
        }
        String last = Prefs.get(PREFERENCE, '')
        File found = last && new File(last).isFile() ? new File(last) : onPath(System.getenv('PATH') ?: '')
        if (found != null) {
            return check(found, needs)
        }
        if (GraphicsEnvironment.headless || Macro.options != null || IJ.isMacro()) {
            throw new Problem("no Python with quietframe was found; ${HOW}")
        }
        return remembered(check(executable(ask()), needs))
    }

    private static PythonWorkerPlace remembered(PythonWorkerPlace place) {
        Prefs.set(PREFERENCE, place.python.path)
        return place
    }

    /** The program that a path means: itself, or the one in an environment's folder. */
    static File executable(String named) {
        File path = new File(named)
        if (path.isFile()) {
            return path.absoluteFile
        }
        for (String inside : ['bin/python', 'bin/python3', 'python.exe', 'Scripts/python.exe', 'python', 'python3']) {
            if (new File(path, inside).isFile()) {
                return new File(path, inside).absoluteFile
            }
        }
        throw new Problem("python=${named}: there is no Python; give the path of python itself or the folder of its environment")
    }

    /** The Python beside the program `quietframe` on a PATH, else the first python there, else null. */
    static File onPath(String path) {
        List<File> folders = path.split(File.pathSeparator).findAll { String each -> !each.isEmpty() }.collect { new File(it) }
        for (File folder : folders) {
            File program = new File(folder, WINDOWS ? 'quietframe.exe' : 'quietframe')
            if (program.isFile()) {
                for (File place : [folder, program.canonicalFile.parentFile, folder.parentFile]) {
                    File python = pythonIn(place)
                    if (python != null) {
                        return python
                    }
                }
            }
        }
        return folders.collect { File folder -> pythonIn(folder) }.find { it != null }
    }

    private static File pythonIn(File folder) {
        List<String> names = WINDOWS ? ['python.exe'] : ['python3', 'python']
        return folder == null ? null : names.collect { String name -> new File(folder, name) }.find { File file -> file.isFile() }
    }

    /** Ask Python what it has; a Problem with what to do when something is missing or of another version. */
    static PythonWorkerPlace check(File python, List<String> needs) {
        Map<String, Object> versions = versionsOf(python)
        Object version = versions.get('quietframe')
        if (version == null) {
            throw new Problem("${python} (Python ${versions.get('python')}) has no quietframe; ${HOW}")
        }
        if (Command.version() != 'source' && version != Command.version()) {
            throw new Problem("${python} has quietframe ${version}, this Fiji has ${Command.version()}; make them equal: " +
                "pip install 'quietframe[train,fiji]==${Command.version()}', or run its 'quietframe fiji install'")
        }
        List<String> missing = (['appose'] + needs).findAll { String name ->
            versions.get(name) == null && versions.get("${name}-gpu".toString()) == null
        }
        if (!missing.isEmpty()) {
            throw new Problem("${python} has quietframe, but no ${missing.join(' and no ')}; run there: " +
                "pip install 'quietframe[${missing.contains('onnxruntime') ? 'cpu,' : ''}train,fiji]'")
        }
        return new PythonWorkerPlace(python, versions)
    }

    private static Map<String, Object> versionsOf(File python) {
        File said = File.createTempFile('quietframe-', '.txt') // a pipe could fill up, and then neither side goes on
        try {
            Process process = new ProcessBuilder(python.path, '-c', QUESTION).redirectErrorStream(true).redirectOutput(said).start()
            process.outputStream.close()
            if (!process.waitFor(WAIT_S, TimeUnit.SECONDS)) {
                process.destroyForcibly()
                throw new Problem("${python} did not answer within ${WAIT_S} s; ${HOW}")
            }
            String line = said.readLines('UTF-8').find { String each -> each.startsWith('quietframe-python ') }
            if (line == null) {
                String last = said.readLines('UTF-8').findAll { String each -> !each.trim().isEmpty() }.with { it.isEmpty() ? 'nothing' : it.last() }
                throw new Problem("${python} is no Python that works (it said: ${last.take(200)}); ${HOW}")
            }
            return (Map<String, Object>) Json.parse(line.substring('quietframe-python '.length()))
        } catch (IOException | IllegalArgumentException error) {
            throw new Problem("${python} cannot be run (${error.message}); ${HOW}", error)
        } finally {
            said.delete()
        }
    }

    private static String ask() {
        GenericDialog dialog = new GenericDialog('Quietframe: which Python?')
        dialog.addMessage("Training runs in Python. No Python with quietframe was found here:\n${HOW.replace('. Then', '.\nThen')}")
        dialog.addFileField('Python', '')
        dialog.showDialog()
        String chosen = dialog.wasCanceled() ? '' : dialog.nextString.trim()
        if (chosen.isEmpty()) {
            throw new Problem("no Python was chosen; ${HOW}")
        }
        return chosen
    }
}
