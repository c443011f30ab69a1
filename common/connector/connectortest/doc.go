// Package connectortest is the conformance suite of Fiso's connectors. It tests the
// promises of package connector, as scenarios that run against a connector and the
// real system behind it. Above all it asserts that messages that were not settled
// are delivered again.
//
//	func TestSource_conforms(t *testing.T) {
//		features := connectortest.Features{Partitions: true, Guarantees: connector.Guarantees{Orders: true, Redelivers: true}}
//		connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness {
//			topic := newTopic(t) // a new topic for each scenario
//			return connectortest.SourceHarness{
//				New:     func(t testing.TB) connector.Source { return newSource(t, topic) },
//				Produce: func(t testing.TB, in ...connectortest.Input) { produce(t, topic, in) },
//			}
//		})
//	}
//
// Features declares what a connector guarantees, and selects the scenarios. Each
// scenario has its own subtest and its own harness. It is also a function, for a
// test that wants that scenario only. At its end it checks that no goroutine is
// left that was not there before, so scenarios must not run in parallel with other
// tests.
//
// Nothing sleeps. A scenario waits for what must happen until a deadline, and
// watches for what must not happen during a window of time; see Timing.
package connectortest
