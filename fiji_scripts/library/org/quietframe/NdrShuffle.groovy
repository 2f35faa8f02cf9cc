package org.quietframe

import groovy.transform.CompileStatic

/**
 * The random order that NumPy's default_rng(seed).permutation(n) gives, so that a seed means the same here and there.
 * PCG XSL RR 128/64 (O'Neill 2014), seeded as numpy.random.SeedSequence does; tested against NumPy.
 */
@CompileStatic
class NdrShuffle {

    private static final BigInteger MULTIPLIER = new BigInteger('2360ed051fc65da44385df649fccf645', 16)
    private static final BigInteger MODULUS = BigInteger.ONE.shiftLeft(128)
    private static final BigInteger LOW = BigInteger.ONE.shiftLeft(64).subtract(BigInteger.ONE)
    private static final long WORD = 0xffffffffL

    private BigInteger state
    private final BigInteger increment
    private long kept = -1L

    NdrShuffle(int seed) {
        long[] words = seedWords(seed)
        BigInteger[] halves = new BigInteger[4]
        for (int i = 0; i < 4; i++) {
            halves[i] = BigInteger.valueOf(words[2 * i + 1]).shiftLeft(32).or(BigInteger.valueOf(words[2 * i]))
        }
        BigInteger start = halves[0].shiftLeft(64).or(halves[1]), stream = halves[2].shiftLeft(64).or(halves[3])
        increment = stream.shiftLeft(1).or(BigInteger.ONE).mod(MODULUS)
        state = increment.add(start).mod(MODULUS)
        step()
    }

    /** 0 ... n - 1 in random order. */
    static int[] permutation(int n, int seed) {
        NdrShuffle random = new NdrShuffle(seed)
        int[] order = new int[n]
        for (int i = 0; i < n; i++) {
            order[i] = i
        }
        for (int i = n - 1; i > 0; i--) {
            int j = random.below(i + 1)
            int here = order[i]
            order[i] = order[j]
            order[j] = here
        }
        return order
    }

    /** A number from 0 to limit - 1: random bits, drawn again where they are too large. */
    private int below(int limit) {
        long mask = Long.highestOneBit(Math.max(limit - 1, 1)) * 2L - 1L
        long value = word() & mask
        while (value >= limit) {
            value = word() & mask
        }
        return (int) value
    }

    private long word() {
        if (kept >= 0L) {
            long result = kept
            kept = -1L
            return result
        }
        step()
        long high = state.shiftRight(64).longValue(), low = state.and(LOW).longValue()
        long value = Long.rotateRight(high ^ low, (int) (high >>> 58))
        kept = value >>> 32
        return value & WORD
    }

    private void step() {
        state = state.multiply(MULTIPLIER).add(increment).mod(MODULUS)
    }

    /** Eight 32-bit words out of a seed. */
    private static long[] seedWords(int seed) {
        long[] pool = new long[4]
        long constant = 0x43b0d7e5L
        for (int i = 0; i < 4; i++) {
            pool[i] = hashed(i == 0 ? (long) seed : 0L, constant, 0x931e8875L)
            constant = constant * 0x931e8875L & WORD
        }
        for (int from = 0; from < 4; from++) {
            for (int to = 0; to < 4; to++) {
                if (from != to) {
                    long value = hashed(pool[from], constant, 0x931e8875L)
                    constant = constant * 0x931e8875L & WORD
                    long mixed = (0xca01f9ddL * pool[to] & WORD) - (0x4973f715L * value & WORD) & WORD
                    pool[to] = mixed ^ (mixed >>> 16)
                }
            }
        }
        long[] words = new long[8]
        constant = 0x8b51f9ddL
        for (int i = 0; i < 8; i++) {
            words[i] = hashed(pool[i % 4], constant, 0x58f38dedL)
            constant = constant * 0x58f38dedL & WORD
        }
        return words
    }

    private static long hashed(long value, long constant, long multiplier) {
        long mixed = (value ^ constant) & WORD
        mixed = mixed * (constant * multiplier & WORD) & WORD
        return mixed ^ (mixed >>> 16)
    }
}
