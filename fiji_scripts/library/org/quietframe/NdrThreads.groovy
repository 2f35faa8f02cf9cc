package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ

import java.util.concurrent.ExecutionException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.ThreadFactory
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.concurrent.atomic.AtomicInteger

/** A loop shared out among threads, which stops at Esc. */
@CompileStatic
class NdrThreads {

    interface Task {
        void run(int index)
    }

    static int usual() {
        return Math.max(1, Math.min(8, Runtime.runtime.availableProcessors()))
    }

    /** Run the task for 0 ... count - 1, on this many threads; the first error stops all and is thrown here. */
    static void each(int count, int threads, Task task) {
        if (threads == 1 || count == 1) {
            for (int i = 0; i < count; i++) {
                task.run(i)
                checkEsc()
            }
            return
        }
        ExecutorService pool = Executors.newFixedThreadPool(threads, { Runnable work ->
            Thread thread = new Thread(work, 'quietframe')
            thread.daemon = true
            thread
        } as ThreadFactory)
        AtomicInteger next = new AtomicInteger()
        try {
            List<Future<?>> workers = []
            for (int i = 0; i < threads; i++) {
                workers.add(pool.submit(new Runnable() {
                    @Override
                    void run() {
                        for (int index = next.getAndIncrement(); index < count; index = next.getAndIncrement()) {
                            task.run(index)
                        }
                    }
                }))
            }
            workers.each { Future<?> worker -> await(worker) }
        } finally {
            next.set(count) // the others end with what they have in hand
            pool.shutdown()
        }
    }

    private static void await(Future<?> worker) {
        while (true) {
            try {
                worker.get(100, TimeUnit.MILLISECONDS)
                return
            } catch (TimeoutException ignored) {
                checkEsc()
            } catch (ExecutionException error) {
                throw error.cause
            }
        }
    }

    /** Stop here when the user pressed Esc. */
    static void checkEsc() {
        if (IJ.escapePressed()) {
            IJ.resetEscape()
            throw new Problem('stopped by Esc; there is no result')
        }
    }
}
