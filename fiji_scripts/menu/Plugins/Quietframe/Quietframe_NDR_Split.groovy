// Two parts of one exposure that share no read: independent halves, or stacks of pairs to learn from.
#@ ImagePlus (label="Exposure (stack of sub-frames)") image
#@ Integer (label="Pairs of [sub-frames], 0 = two halves", description="Sub-frames of one input", value=0, min=0, persist=false) pairs
#@ String (label="Design", description="halves: two fits; n2n: two differences; care: a difference and the fit of the other side; report: overlapping, to compare with", choices={"auto", "halves", "n2n", "care", "report"}, value="auto", persist=false) design
#@ Integer (label="Guard [sub-frames]", description="Sub-frames left out between the parts", value=1, min=0, persist=false) guard
#@ Integer (label="Number of pairs, 0 = all", value=0, min=0, persist=false) count
#@ Integer (label="Seed of the random order of pairs", value=0, min=0, persist=false) seed
#@ Integer (label="First read, 0 = first valid", description="Counted from 1", value=0, min=0, persist=false) first
#@ Integer (label="Last read, 0 = to the end", value=0, min=0, persist=false) last
#@ String (label="Method of the fits", choices={"optimal", "last-first", "fowler", "lsq"}, value="optimal", persist=false) method
#@ String (label="Unit", description="rate is e-/px/s; auto: of halves the first that is known, of pairs adu", choices={"auto", "rate", "electrons", "adu"}, value="auto", persist=false) unit
#@ Boolean (label="Leave each part in the light of its own time", value=false, persist=false) as_measured
#@ Double (label="Gain [e-/ADU], 0 = from the image or its ramps", value=0, min=0, persist=false) gain_e_per_adu
#@ Double (label="Read noise [e- rms], 0 = from the image or its ramps", value=0, min=0, persist=false) read_noise_e
#@ Double (label="Time per sub-frame [s], 0 = from the image", value=0, min=0, persist=false) t_subframe_s
#@ Double (label="Full well [e-], 0 = from the image", value=0, min=0, persist=false) full_well_e
#@ Double (label="Black level [ADU], -1 = from the image", value=-1, persist=false) black_adu
#@output ImagePlus out_a
#@output ImagePlus out_b

import org.quietframe.Command
import org.quietframe.NdrSplit

parts = Command.run('Quietframe NDR Split') {
    NdrSplit.split(image,
        [pairs: pairs, design: design, guard: guard, count: count, seed: seed, first: first, last: last, method: method,
         unit: unit, as_measured: as_measured],
        [gain_e_per_adu: gain_e_per_adu, read_noise_e: read_noise_e, t_subframe_s: t_subframe_s, full_well_e: full_well_e,
         black_adu: black_adu])
}
out_a = parts?.a
out_b = parts?.b
