package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.Macro
import ij.plugin.PlugIn

/** A `#@` script as a command of a plain ImageJ, so that `run("Quietframe ...", "key=value")` in a macro reaches it. */
@CompileStatic
class ScriptCommand implements PlugIn {

    @Override
    void run(String name) {
        Map<String, Object> outputs = Command.run(name) {
            Scripts.runCommand(name, Collections.<String, Object> emptyMap(), Macro.options)
        }
        outputs?.values()?.each { Object value ->
            if (value instanceof ImagePlus) {
                ((ImagePlus) value).show()
            }
        }
    }
}
