package cel

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/cel-go/common"
)

// The messages of the parser. They list every token that could follow, under the names of the grammar.
var (
	unexpectedToken = regexp.MustCompile(`(?s)^Syntax error: (?:mismatched|extraneous) input '(.*)' expecting (.*)$`)
	missingToken    = regexp.MustCompile(`(?s)^Syntax error: missing (.*) at '(.*)'$`)
	noAlternative   = regexp.MustCompile(`(?s)^Syntax error: no viable alternative at input '(.*)'$`)
	unknownToken    = regexp.MustCompile(`(?s)^Syntax error: token recognition error at: '(.*)'$`)
	closingToken    = regexp.MustCompile(`'[)\]}:]'`)
)

const (
	endOfText    = "<EOF>"
	endsTooEarly = "the expression ends too early"
)

// syntaxFault describes a fault that the parser found. It returns "" for any other fault.
func syntaxFault(err *common.Error, text string) (line, col int, fault, hint string) {
	if !strings.HasPrefix(err.Message, "Syntax error") {
		return 0, 0, "", ""
	}
	line, col = err.Location.Line(), err.Location.Column()+1
	endLine, endCol := place(text, len(strings.TrimRight(text, " \t\r\n")))
	atEnd := line > endLine || line == endLine && col >= endCol
	found, missing := strings.TrimPrefix(err.Message, "Syntax error: "), ""
	if m := unexpectedToken.FindStringSubmatch(err.Message); m != nil {
		atEnd, found = m[1] == endOfText, fmt.Sprintf("unexpected '%s'", m[1])
		switch {
		case m[2] == endOfText:
			found += " after the end of the expression"
		case !strings.Contains(m[2], "IDENTIFIER"): // not one of all tokens that begin an operand
			missing = closingToken.FindString(m[2])
		}
	} else if m := missingToken.FindStringSubmatch(err.Message); m != nil {
		atEnd, found, missing = m[2] == endOfText, fmt.Sprintf("%s is missing before '%s'", m[1], m[2]), m[1]
	} else if m := noAlternative.FindStringSubmatch(err.Message); m != nil {
		found = fmt.Sprintf("unexpected '%s'", m[1])
	} else if m := unknownToken.FindStringSubmatch(err.Message); m != nil {
		atEnd, found = false, fmt.Sprintf("unexpected '%s'", strings.TrimSpace(m[1]))
		hint = tokenHint(m[1])
	}
	if !atEnd {
		return line, col, found, hint
	}
	fault = endsTooEarly
	if missing != "" {
		fault += ": " + missing + " is missing"
	}
	return endLine, endCol, fault, ""
}

// tokenHint says what to do about characters that begin no token of CEL, or "".
func tokenHint(token string) string {
	switch token[:min(1, len(token))] {
	case `"`, "'":
		return "close the quotes"
	case "=":
		return "compare with =="
	case "&":
		return "and is &&"
	case "|":
		return "or is ||"
	}
	return ""
}
