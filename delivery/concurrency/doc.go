// Package concurrency finds how many workers are useful for a destination of
// unknown speed. It is for module delivery: one Limit for each output and one for
// the transformer. A slow destination needs as many workers as are allowed; a fast
// one on a busy machine gains nothing from more than a few, and loses by their
// connections and goroutines.
//
// The algorithm is hill climbing on the rate: a trial raises or lowers the number of
// workers, and the rates before and after are compared. On a machine that others use
// too, a rate that was low by chance makes any trial after it look good. So more
// workers are kept only if their gain is measured twice, when they come and when they
// go again. The limit is measured only while work is waiting. While a worker is idle,
// the rate may be that of the source, so only fewer workers are tried.
//
// A destination that does not answer may have been asked for too much. The limit
// begins again with the fewest workers then, and is allowed more of them in steps.
//
// # Why not a published one
//
// Simulations compare the share of the best rate and the mean number of workers, of
// at most 1024. Gradient2 and Vegas are those of Netflix's concurrency-limits with
// their defaults, updated once a round. BBR (Cardwell et al., ACM Queue 14(5), 2016)
// takes 2.5 times the best recent rate times the latency without a queue, which it
// measures with few workers now and then. A shared machine has a different capacity
// each second, and almost none for a tenth of the time.
//
//	                                  Gradient2    Vegas        BBR          this
//	20 ms sink                        71.0 %  727  87.0 %  891  99.0 % 1013  99.5 % 1019
//	  all workers after               35 s         13 s         0.21 s       0.21 s
//	1 s sink                           1.8 %   17   1.7 %   16  95.8 %  979  99.2 % 1015
//	10 % of calls take 200 ms, not 20 57.1 %  584   2.3 %   24  99.1 % 1013  99.2 % 1015
//	bound by the CPU                   100 %  745   100 %  281   100 %   16   100 %   16
//	needs 40 workers                  99.5 %  162  99.9 %   94  99.5 %   99  99.8 % 1011
//	slow, then bound by the CPU        100 % 1009   100 %  950   100 %  122   100 %  364
//	bound by the CPU, then 20 ms      67.9 %  695  72.2 %  740  98.8 % 1012  99.2 % 1016
//	shared machine, bound by the CPU   100 %  251   100 %   24   100 %   33   100 %   81
//	shared machine, 20 ms             45.5 %  282  26.6 %  162  98.9 % 1011  95.5 %  923
//
// BBR came close, but with real HTTP calls beside other busy processes (a load of 20
// on two cores) an event cost 10 to 23 µs of CPU, in place of 8 to 10: latency is no
// measure of a queue there, and it kept hundreds of workers for a fast sink.
package concurrency
