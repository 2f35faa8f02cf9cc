package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import org.apposed.appose.Appose
import org.apposed.appose.Service
import org.apposed.appose.Service.ResponseType
import org.apposed.appose.TaskEvent

import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.function.Consumer

/** A Python process that Appose started, with the functions of quietframe_worker.py; whatever it does, a wait for it ends. */
@CompileStatic
class PythonWorker implements AutoCloseable {

    /** Told about progress, in the thread that waits. */
    interface Listener {
        void progress(String message, long done, long total, Map<String, Object> info)
    }

    private static final String SCRIPT = 'worker/quietframe_worker.py'
    private static final int LOOK_MS = 50, DEAD_MS = 3000

    final PythonWorkerPlace place
    private final Service service

    PythonWorker(PythonWorkerPlace place) {
        this.place = place
        InputStream script = PythonWorker.classLoader.getResourceAsStream(SCRIPT)
        if (script == null) {
            throw new Problem("${SCRIPT} is not in Quietframe's jar; run 'quietframe fiji install' again")
        }
        service = Appose.custom().binPaths(place.python.parent).build()
            .service([place.python.name], '-c', 'import appose.python_worker; appose.python_worker.main()')
            .init(script.getText('UTF-8'))
        service.start()
    }

    boolean isAlive() {
        return service.isAlive()
    }

    /**
     * Run one line of Python and give its dict. Esc asks it to stop, after which its answer is awaited; a second Esc ends
     * the process. `mainThread`: where Python has signals, at the price of some ms.
     */
    Map<String, Object> call(String line, Map<String, Object> inputs, boolean mainThread, Listener listener) {
        LinkedBlockingQueue<TaskEvent> events = new LinkedBlockingQueue<TaskEvent>()
        Service.Task task = service.task(line, inputs, mainThread ? 'main' : null)
        // A listener that throws would let Appose take every answer for invalid, and the wait would never end: this one cannot.
        task.listen({ TaskEvent event -> events.offer(event) } as Consumer<TaskEvent>)
        task.start()
        boolean asked = false
        long deadSince = 0
        while (true) {
            TaskEvent event = events.poll(LOOK_MS, TimeUnit.MILLISECONDS)
            if (event != null && event.responseType.isTerminal()) {
                return answer(task, event.responseType)
            }
            if (event != null && event.responseType == ResponseType.UPDATE) {
                listener?.progress(event.message, event.current, event.maximum, event.info ?: [:])
            }
            if (IJ.escapePressed()) {
                IJ.resetEscape()
                if (asked) {
                    service.kill()
                    throw new Problem('stopped at once by a second Esc; there is no result')
                }
                asked = true
                IJ.showStatus('Quietframe: stopping after this step (Esc again stops at once)')
                task.cancel()
            }
            // Appose tells of a crash by itself; should it not, the wait ends all the same.
            deadSince = service.isAlive() || event != null ? 0 : deadSince == 0 ? System.currentTimeMillis() : deadSince
            if (deadSince != 0 && System.currentTimeMillis() - deadSince > DEAD_MS) {
                throw crashed(task.error)
            }
        }
    }

    private Map<String, Object> answer(Service.Task task, ResponseType type) {
        if (type == ResponseType.COMPLETION) {
            Object problem = task.outputs.get('problem')
            if (problem != null) {
                throw new Problem(problem.toString())
            }
            return new LinkedHashMap<String, Object>(task.outputs)
        }
        if (type == ResponseType.CANCELATION || task.error?.contains('\nKeyboardInterrupt')) {
            throw new Problem('stopped by Esc; there is no result')
        }
        throw type == ResponseType.CRASH ? crashed(task.error) : failed(task.error)
    }

    /** An exception in Python that is no fault of the user: all of it to the log, its last line to the message. */
    private static Problem failed(String error) {
        List<String> lines = (error ?: '').readLines().findAll { String line -> !line.trim().isEmpty() }
        System.err.println("Quietframe, in Python: ${error}")
        String last = lines.isEmpty() ? 'no reason given' : lines.last().trim()
        if (last.contains('MemoryError') || last.contains('out of memory')) {
            return new Problem("Python has too little memory for this (${last}): take a smaller picture, batch_size or patch_px")
        }
        return new Problem("Python failed: ${last}")
    }

    private static Problem crashed(String error) {
        System.err.println("Quietframe, in Python: ${error}")
        String code = (error =~ /exit code (-?\d+)/).with { it.find() ? it.group(1) : 'unknown' }
        String reason = code in ['137', '-9'] ? ': it was killed, perhaps because the machine ran out of memory; take a smaller ' +
            'picture, batch_size or patch_px' : '; what it said is in the console (Window > Console)'
        return new Problem("the Python worker ended in the middle of its work (exit code ${code})${reason}")
    }

    /** End the process; it stops at once. */
    @Override
    void close() {
        service.close()
        if (service.isAlive()) {
            service.kill()
        }
    }
}
