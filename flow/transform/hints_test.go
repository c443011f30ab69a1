package transform

// The hints of package cel.
const (
	mixedNumbers = "CEL does not mix whole numbers and decimals: write double(…) around the whole one"
	mixedTexts   = "make both sides text with string(…), or both numbers with int(…) or double(…)"
	mixedSigns   = "a whole number from 2^63 on is a uint: write uint(…) around the other one"
	bigNumber    = "a number is too large for CEL to calculate with: string(…) gives its digits, double(…) rounds it"

	bigLiteralHint = `64 bits do not hold it: compare the digits, as in string(data.id) == "12345678901234567890"`
	referenceHint  = `references work in config values only: write the value itself; a literal one is "$" + "{…}"`
)
