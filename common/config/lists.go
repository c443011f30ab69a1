package config

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// joinColons joins tokens that the lexer splits: within { } it ends a text of a list at a colon,
// as in {brokers: [kafka:9092]}. A colon without a blank after it belongs to the text (YAML 1.2,
// 7.3.3).
func joinColons(tokens token.Tokens) token.Tokens {
	if !slices.ContainsFunc(tokens, func(tk *token.Token) bool { return tk.Type == token.SequenceStartType }) {
		return tokens
	}
	out := make(token.Tokens, 0, len(tokens))
	var open []token.Type
	for i := 0; i < len(tokens); i++ {
		tk := tokens[i]
		switch tk.Type {
		case token.SequenceStartType, token.MappingStartType:
			open = append(open, tk.Type)
		case token.SequenceEndType, token.MappingEndType:
			open = open[:max(0, len(open)-1)]
		}
		first := len(open) > 0 && open[len(open)-1] == token.SequenceStartType &&
			i > 0 && (tokens[i-1].Type == token.SequenceStartType || tokens[i-1].Type == token.CollectEntryType)
		for first && i+2 < len(tokens) && text(tk) && text(tokens[i+2]) &&
			tokens[i+1].Type == token.MappingValueType && adjacent(tk, tokens[i+1]) && adjacent(tokens[i+1], tokens[i+2]) {
			tk = token.String(strings.TrimSpace(tk.Origin)+":"+strings.TrimSpace(tokens[i+2].Origin), tk.Origin+":"+tokens[i+2].Origin, tk.Position)
			i += 2
		}
		out.Add(tk)
	}
	return out
}

// text reports whether a token is a scalar without quotes.
func text(tk *token.Token) bool {
	switch tk.Type {
	case token.StringType, token.BoolType, token.NullType, token.IntegerType, token.BinaryIntegerType, token.OctetIntegerType,
		token.HexIntegerType, token.FloatType, token.InfinityType, token.NanType:
		return true
	}
	return false
}

// adjacent reports whether b begins where a ends.
func adjacent(a, b *token.Token) bool {
	return a.Position != nil && b.Position != nil && a.Position.Line == b.Position.Line &&
		a.Position.Column+len([]rune(strings.TrimSpace(a.Origin))) == b.Position.Column
}
