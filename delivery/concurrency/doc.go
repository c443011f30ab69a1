// Package concurrency finds how many workers are useful for a destination of
// unknown speed. It is for module delivery: one Limit for each output and one for
// the transformer. A slow destination needs as many workers as are allowed; a fast
// one on a busy machine gains nothing from more than a few.
//
// The algorithm is that of BBR (Cardwell, Cheng, Gunn, Yeganeh and Jacobson:
// "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016), with workers
// in place of packets: the number of workers needed is the best recent rate times
// the time that an event takes when none queues. The limit is a multiple of that,
// so it grows while more workers increase the rate. The time follows from
// Little's law (calls under way = rate × time), so no call is timed. It can be
// measured only while few calls are under way, so the limit falls to the minimum
// for a moment from time to time. Such a trial is BBR's PROBE_RTT.
//
// Three rules are added, each for a destination that BBR serves badly:
//
//   - A call that began two rounds ago is stuck, and the limit grows by one for
//     it. Without this rule, a destination at which one call of ten takes ten times
//     as long had 68 % of its best rate.
//   - While no call ends at all, the limit grows by itself.
//   - If more workers than the minimum increase the rate by less than a quarter,
//     the minimum is used, until a trial finds otherwise or calls take much
//     longer.
//
// # Why this one
//
// Simulations compare the share of the best rate and the mean number of workers,
// of at most 1024. The first column is the hill climbing that was used before.
// Gradient2 and Vegas are those of Netflix's concurrency-limits with their
// defaults, updated once a round. A shared machine has a different capacity each
// second, and almost none for a tenth of the time.
//
//	                                  hill climbing  Gradient2    Vegas        this
//	20 ms sink                        99.5 %  1019   71.0 %  727  87.0 %  891  99.0 %  1013
//	  all workers after               0.21 s         35 s         13 s         0.21 s
//	1 s sink                          99.2 %  1015    1.8 %   17   1.7 %   16  95.8 %   979
//	10 % of calls take 200 ms, not 20 99.2 %  1015   57.1 %  584   2.3 %   24  99.1 %  1013
//	bound by the CPU                   100 %    16    100 %  745   100 %  281   100 %    16
//	needs 40 workers                  99.8 %  1011   99.5 %  162  99.9 %   94  99.5 %    99
//	needs 150 workers                 99.4 %  1009   87.2 %  255  14.8 %   22  98.2 %   365
//	slower with more than 100         63.7 %    66   45.5 %  232  68.9 %  149  62.8 %   157
//	slow, then bound by the CPU        100 %   364    100 % 1009   100 %  950   100 %   122
//	bound by the CPU, then 20 ms      99.2 %  1016   67.9 %  695  72.2 %  740  98.8 %  1012
//	hung, then needs 40                100 %  1019   99.9 %  294  99.9 %   96  99.8 %   107
//	shared machine, bound by the CPU   100 %    81    100 %  251   100 %   24   100 %    33
//	shared machine, 20 ms             95.5 %   923   45.5 %  282  26.6 %  162  98.9 %  1011
//
// Gradient2 that may double in each round, and Vegas with a queue of half the
// limit, are as quick as this one, and then have 900 workers where a few are
// enough.
package concurrency
