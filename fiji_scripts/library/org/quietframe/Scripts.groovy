package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.Macro
import ij.Menus
import ij.WindowManager
import ij.process.ByteProcessor
import org.codehaus.groovy.jsr223.GroovyScriptEngineFactory
import org.python.jsr223.PyScriptEngineFactory
import org.scijava.Context
import org.scijava.convert.ConvertService
import org.scijava.module.ModuleItem
import org.scijava.script.AdaptedScriptLanguage
import org.scijava.script.ScriptInfo
import org.scijava.script.ScriptModule
import org.scijava.script.ScriptService

import javax.script.ScriptContext
import javax.script.ScriptEngineFactory
import java.lang.reflect.Method

/**
 * Runs `#@` scripts in a plain ImageJ, which has no such thing: parameters from the caller, then from the macro's
 * options, then their defaults, as Fiji fills them. Inside Fiji nothing here is used; Fiji finds the scripts itself.
 */
@CompileStatic
class Scripts {

    private static Context context
    private static final Map<String, ScriptInfo> COMMANDS = [:]
    private static final Map<ScriptInfo, ScriptModule> MODULES = new IdentityHashMap<ScriptInfo, ScriptModule>()

    /** A script language that SciJava does not bring by itself. */
    private static class Language extends AdaptedScriptLanguage {
        private final String name
        private final List<String> suffixes

        Language(ScriptEngineFactory engines, String name, List<String> suffixes) {
            super(engines)
            this.name = name
            this.suffixes = suffixes
        }

        @Override
        String getLanguageName() { name }

        @Override
        List<String> getExtensions() { suffixes }
    }

    private static synchronized ScriptService service() {
        if (context == null) {
            context = new Context(ScriptService)
            add(new Language(new GroovyScriptEngineFactory(), 'Groovy', ['groovy']))
            add(new Language(new PyScriptEngineFactory(), 'Jython', ['py']))
            context.service(ScriptService).addAlias('ImagePlus', ImagePlus)
        }
        return context.service(ScriptService)
    }

    private static void add(Language language) {
        language.setContext(context)
        context.service(ScriptService).index.add(language, true)
    }

    /** Put every script under `scripts/Plugins/Quietframe` of the class path into ImageJ's command table. */
    static synchronized List<String> register() {
        letImageJSee()
        if (COMMANDS.isEmpty()) {
            for (ScriptInfo script : service().scripts) {
                if (script.menuPath.size() == 3 && script.menuPath.get(1).name == 'Quietframe') {
                    COMMANDS.put(script.menuPath.leaf.name, script)
                }
            }
        }
        if (Menus.commands == null) {
            // ImageJ fills its command table with the first command that it runs.
            IJ.run(new ImagePlus('', new ByteProcessor(1, 1)), 'Invert', '')
        }
        COMMANDS.keySet().each { String name ->
            Menus.commands.put(name, "org.quietframe.ScriptCommand(\"${name}\")".toString())
        }
        return COMMANDS.keySet().sort()
    }

    /**
     * A Java machine that ran before this jar was added to it has the jar in another class loader than ImageJ's:
     * ImageJ must know it to find the commands, and the script languages to find this library.
     */
    private static void letImageJSee() {
        ClassLoader ours = Scripts.classLoader
        if (!sees(Thread.currentThread().contextClassLoader)) {
            Thread.currentThread().contextClassLoader = ours
        }
        if (!sees(IJ.classLoader)) {
            Method set = IJ.getDeclaredMethod('setClassLoader', ClassLoader)
            set.accessible = true
            set.invoke(null, ours)
        }
    }

    private static boolean sees(ClassLoader loader) {
        try {
            return loader != null && loader.loadClass(Scripts.name) == Scripts
        } catch (ClassNotFoundException ignored) {
            return false
        }
    }

    /** Run a registered command; its outputs by name. */
    static Map<String, Object> runCommand(String name, Map<String, Object> inputs, String options) {
        ScriptInfo script = COMMANDS.get(name)
        if (script == null) {
            throw Problem.unknown('command', name, COMMANDS.keySet())
        }
        return run(script, inputs, options)
    }

    /** Run a `#@` script file; its outputs by name. */
    static Map<String, Object> runFile(String path, Map<String, Object> inputs) {
        service()
        return run(new ScriptInfo(context, new File(path)), inputs, null)
    }

    private static Map<String, Object> run(ScriptInfo script, Map<String, Object> inputs, String options) {
        letImageJSee()
        List<String> names = script.inputs().collect { ModuleItem<?> item -> item.name }
        inputs.keySet().each { String name ->
            if (!names.contains(name)) {
                throw Problem.unknown('option', name, names)
            }
        }
        ScriptModule module = MODULES.get(script)
        if (module == null) {
            module = script.createModule()
            context.inject(module)
            if (COMMANDS.containsValue(script)) {
                MODULES.put(script, module) // a new one would compile the script again, and Groovy keeps what it compiled
            }
        }
        for (ModuleItem<?> item : script.inputs()) {
            Object value = inputs.get(item.name)
            if (value == null && options != null) {
                value = Macro.getValue(options, item.name, null)
            }
            module.setInput(item.name, fill(item, value))
            module.resolveInput(item.name)
        }
        // Errors of a script go to this writer; SciJava would only log them and go on with empty outputs.
        StringWriter errors = new StringWriter()
        module.setErrorWriter(errors)
        module.run()
        if (errors.toString().contains('\tat ')) {
            throw new IllegalStateException("${script.identifier} failed: ${errors}")
        }
        System.err.print(errors)
        // In the order of the header, as Fiji shows them: the last one is the active image.
        Map<String, Object> outputs = [:]
        script.outputs().each { ModuleItem<?> item -> outputs.put(item.name, module.getOutput(item.name)) }
        forget(script, module)
        return outputs
    }

    /** Let go of the images of a run; the next one must not find them either. */
    private static void forget(ScriptInfo script, ScriptModule module) {
        module.engine.getBindings(ScriptContext.ENGINE_SCOPE).clear()
        script.inputs().each { ModuleItem<?> item -> module.setInput(item.name, null) }
        script.outputs().each { ModuleItem<?> item -> module.setOutput(item.name, null) }
    }

    private static Object fill(ModuleItem<?> item, Object given) {
        Object value = given
        if (item.type == ImagePlus && value instanceof String) {
            value = WindowManager.getImage((String) value) // recorders write images by their title
            if (value == null) {
                throw new Problem("option ${item.name}: no image with the title '${given}' is open")
            }
        }
        if (value == null) {
            value = item.type == ImagePlus ? WindowManager.currentImage : item.defaultValue
        }
        if (value == null) {
            if (item.type == ImagePlus) {
                throw new Problem('no image is open: open one first (File > Open), or drag a file on the window')
            }
            if (!item.required) {
                return null
            }
            throw new Problem("option ${item.name} is missing and has no default")
        }
        Object converted = context.service(ConvertService).convert(value, item.type)
        if (converted == null) {
            throw new Problem("option ${item.name} must be a ${item.type.simpleName}; got '${value}'")
        }
        return converted
    }
}
