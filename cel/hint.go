package cel

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// configReference is a reference as in config values. An expression cannot
	// have one: the referenced text would be code.
	configReference = regexp.MustCompile(`\$\{[^{}"'\s]*\}`)
	undeclared      = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	overload        = regexp.MustCompile(`found no matching overload for '([^']*)' applied to '\(([^)]*)\)'`)
	// literal matches a text that was probably meant as a literal: words with
	// dots, dashes, slashes and colons, and nothing that only CEL has.
	literal = regexp.MustCompile(`^[A-Za-z0-9_/][A-Za-z0-9_./:#@~%+-]*$`)
)

const bigLiteralHint = `64 bits do not hold it: compare the digits, as in string(data.id) == "12345678901234567890"`

const referenceHint = `references work in config values only: write the value itself; a literal one is "$" + "{…}"`

// reword removes the part of a CEL message that says nothing to a user.
func reword(text string) string {
	return strings.TrimSuffix(text, " (in container '')")
}

// hint says what to do about a fault that CEL found, or "". asText says that
// the value is used as text.
func (e *Env) hint(fault, text string, asText bool) string {
	text = strings.TrimSpace(text)
	m := undeclared.FindStringSubmatch(fault)
	if m == nil {
		if strings.Contains(fault, "invalid int literal") || strings.Contains(fault, "invalid uint literal") {
			return bigLiteralHint
		}
		return overloadHint(fault)
	}
	name := m[1]
	var variables []string
	for _, v := range e.config.Variables {
		variables = append(variables, v.Name)
	}
	if near := nearest(name, variables); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if text == name && !asText && e.config.Record != "" {
		return fmt.Sprintf("did you mean %s.%s? %s", e.config.Record, name, asLiteral(text))
	}
	if literal.MatchString(text) {
		return asLiteral(text)
	}
	if strings.Contains(text, name+"(") {
		var functions []string
		for f := range e.env.Functions() {
			functions = append(functions, f)
		}
		if near := nearest(name, functions); near != "" {
			return fmt.Sprintf("did you mean %s()?", near)
		}
		return ""
	}
	if e.config.Record == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %s.%s?", e.config.Record, name)
}

// syntaxHint is the hint for a fault of the parser.
func syntaxHint(fault, text string) string {
	if text = strings.TrimSpace(text); literal.MatchString(text) && !strings.HasPrefix(fault, endsTooEarly) {
		return asLiteral(text)
	}
	return ""
}

// asLiteral says how to write a text so that both YAML and CEL take it as a
// literal.
func asLiteral(text string) string {
	return fmt.Sprintf(`%s is read as CEL; a literal text needs quotes: '"%s"'`, text, text)
}

// overloadHint is the hint for operands that do not fit.
func overloadHint(fault string) string {
	m := overload.FindStringSubmatch(fault)
	if m == nil {
		return ""
	}
	switch types := m[2]; {
	case strings.Contains(types, "double") && strings.Contains(types, "int"):
		return mixedNumbers
	case strings.Contains(types, "string") && strings.HasPrefix(m[1], "_"):
		return mixedTexts
	}
	return ""
}

// nearest returns the name with the smallest distance, if that is small, or "".
func nearest(name string, names []string) string {
	best, found := 3, ""
	if len(name) < 5 {
		best = 2
	}
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < best || d == best && found != "" && n < found {
			best, found = d, n
		}
	}
	return found
}

// distance is the Levenshtein distance: how many letters must be inserted,
// deleted or replaced.
func distance(a, b string) int {
	if max(len(a), len(b)) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
