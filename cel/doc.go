// Package cel evaluates CEL expressions that people write into configuration,
// over input of strangers, so that neither can do harm: an expression is checked
// when the configuration is read, every fault has its place and a hint for a
// person, and an evaluation is bounded in steps, time and memory.
//
// It is for programs that let an operator write an expression over a record or a
// request: fiso-flow's transforms and fiso-link's record keys are such.
//
//	env, err := cel.New(cel.Config{Record: "data", Variables: []cel.Variable{{Name: "data", Type: types.DynType}}})
//	checked, faults := env.Check(text, false)            // faults: place, message and hint of each
//	program, err := env.Program(checked, checked.Expr())
//	value, err := program.Eval(ctx, vars)                // value, or why there is none; it quotes no value
//
// # The language
//
// It is cel-go with all of its extension libraries (Libraries), numbers compared
// across their types, and times in UTC. Values of JSON come from package celjson,
// which decodes nothing in advance; numbers that 64 bits and doubles do not hold
// are celjson.Big, and json.encode keeps the digits of all numbers. cel-go's
// optimizer and the cost trackers of its libraries are not used: they change the
// value of "data.missing in []" and panic over "data.missing.distinct()".
//
// # Limits
//
// An expression that is too long or nests deeper than 48 brackets is refused
// before a parser sees it: a hundred brackets can cost a parser gigabytes. A
// function whose work or result can be out of proportion to its arguments looks
// at them first: cel-go counts what a function cost when it is over. So no
// function makes more than 32 MiB of text. Loops and functions are counted in
// steps, by the values that they see. Steps over long lists are slow, so Eval
// wants a context with a deadline; only programs that can take long look at it,
// and no goroutine is started. A panic in an evaluation is an error.
package cel
