package rule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/rule/iso8601"
)

// MaxDepth is how deep rules may be nested. Hand-written rules have two or three levels; the bound keeps the
// evaluation of a foreign document from exhausting the stack.
const MaxDepth = 64

// Input is what a rule may look at (spec/01-inputs.md section 8.3). What a place in the document does not
// offer is left at its zero value.
type Input struct {
	// Now is the effective time. Its zone is the one in which the fields of a date_spec are taken.
	Now time.Time
	// Zone is the zone of dates that were written without an offset; nil = the zone of Now.
	Zone *time.Location

	// NodeAttribute looks up an attribute of the node; nil = there is no node, and every attribute is
	// undefined.
	NodeAttribute func(name string) (value string, ok bool)
	// Resource is the resource at hand; nil = an rsc_expression that names something fails.
	Resource *Resource
	// Operation is the operation at hand; nil = an op_expression fails.
	Operation *Operation
	// Param and Meta look up instance attributes and meta-attributes of the resource for value-source;
	// nil = all are undefined.
	Param, Meta func(name string) (value string, ok bool)
	// Submatches are the whole match and the groups of a location constraint's rsc-pattern, which replace %0
	// to %9 in attribute names; nil = no replacement.
	Submatches []string
}

// Resource is what an rsc_expression compares.
type Resource struct{ Class, Provider, Type string }

// Operation is what an op_expression compares.
type Operation struct {
	Name       string
	IntervalMS int64 // milliseconds
}

// Result is the outcome of an evaluation.
type Result struct {
	Pass bool
	// Recheck is the earliest time after Input.Now, with a resolution of one second, at which one of the date
	// expressions that were evaluated has another result; zero = none. Fields of a date_spec count as never
	// changing (spec/01-inputs.md section 8.4).
	Recheck time.Time
	// Problems name the conditions that could not be evaluated, and failed for that reason.
	Problems []Problem
}

// Problem is something wrong with a rule.
type Problem struct {
	ID   string // id of the element; "" = it has none
	Text string // what is wrong and what would be right
}

// Error returns the problem in one line.
func (p Problem) Error() string {
	if p.ID == "" {
		return p.Text
	}
	return p.ID + ": " + p.Text
}

// Evaluate says whether r passes. A rule without conditions passes; a condition with an error fails and
// leaves a Problem. Conditions are evaluated in order, and only as far as the result needs. A rule that
// still is a reference (IDRef) fails, as the reader of the document has to replace it.
func Evaluate(r *Rule, in Input) Result {
	e := evaluation{in: in, now: in.Now.Truncate(time.Second)}
	if e.in.Zone == nil {
		e.in.Zone = in.Now.Location()
	}
	e.res.Pass = e.rule(r, 1)
	return e.res
}

type evaluation struct {
	in  Input
	now time.Time // whole seconds
	res Result
}

// fail records why a condition fails.
func (e *evaluation) fail(id, format string, args ...any) bool {
	e.res.Problems = append(e.res.Problems, Problem{ID: id, Text: fmt.Sprintf(format, args...)})
	return false
}

func (e *evaluation) recheck(t time.Time) {
	if t.After(e.now) && (e.res.Recheck.IsZero() || t.Before(e.res.Recheck)) {
		e.res.Recheck = t
	}
}

func (e *evaluation) rule(r *Rule, depth int) bool {
	if depth > MaxDepth {
		return e.fail(r.ID, "rules are nested more than %d deep", MaxDepth)
	}
	if r.IDRef != "" {
		return e.fail(r.ID, "reference to rule %q was not replaced by that rule", r.IDRef)
	}
	or := false
	switch {
	case r.BooleanOp == "" || strings.EqualFold(r.BooleanOp, "and"):
	case strings.EqualFold(r.BooleanOp, "or"):
		or = true
	default:
		return e.fail(r.ID, "boolean-op %q is unknown; use and, or", r.BooleanOp)
	}
	if len(r.Conditions) == 0 {
		return true
	}
	for i := range r.Conditions {
		if e.condition(&r.Conditions[i], r.ID, depth) == or {
			return or
		}
	}
	return !or
}

func (e *evaluation) condition(c *Condition, parent string, depth int) bool {
	switch {
	case c.Rule != nil:
		return e.rule(c.Rule, depth+1)
	case c.Attribute != nil:
		return e.attribute(c.Attribute)
	case c.Date != nil:
		return e.date(c.Date)
	case c.Resource != nil:
		return e.resource(c.Resource)
	case c.Operation != nil:
		return e.operation(c.Operation)
	}
	return e.fail(parent, "has an empty condition")
}

func (e *evaluation) attribute(x *AttributeExpression) bool {
	name := Substitute(x.Attribute, e.in.Submatches)
	if name == "" {
		return e.fail(x.ID, "attribute is missing; name the node attribute to compare")
	}
	op := attributeOperation(x.Operation)
	if op == opUnknown {
		return e.fail(x.ID, "operation %q is unknown; use %s", x.Operation, attributeOperations)
	}
	var actual string
	var defined bool
	if e.in.NodeAttribute != nil {
		actual, defined = e.in.NodeAttribute(name)
	}
	if op == opDefined || op == opNotDefined {
		if x.HasValue {
			return e.fail(x.ID, "operation %s takes no value", x.Operation)
		}
		return defined == (op == opDefined)
	}
	if !x.HasValue {
		return e.fail(x.ID, "value is missing; operation %s compares with a value", x.Operation)
	}

	reference, known := x.Value, true
	switch source := x.ValueSource; {
	case source == "" || strings.EqualFold(source, "literal"):
	case strings.EqualFold(source, "param"):
		reference, known = lookup(e.in.Param, x.Value)
	case strings.EqualFold(source, "meta"):
		reference, known = lookup(e.in.Meta, x.Value)
	default:
		return e.fail(x.ID, "value-source %q is unknown; use literal, param, meta", source)
	}

	if !defined || !known {
		// Undefined sorts before everything defined, but only eq and ne may see it.
		switch op {
		case opEqual:
			return defined == known
		case opNotEqual:
			return defined != known
		}
		return false
	}
	kind := attributeType(x.Type)
	switch {
	case x.Type == "" && (op == opEqual || op == opNotEqual):
		kind = typeString
	case x.Type == "" && (strings.Contains(actual, ".") || strings.Contains(reference, ".")):
		kind = typeNumber
	case x.Type == "":
		kind = typeInteger
	case kind == typeUnknown:
		return e.fail(x.ID, "type %q is unknown; use %s", x.Type, attributeTypes)
	}
	order := compare(kind, actual, reference)
	switch op {
	case opEqual:
		return order == 0
	case opNotEqual:
		return order != 0
	case opLess:
		return order < 0
	case opLessEqual:
		return order <= 0
	case opGreater:
		return order > 0
	}
	return order >= 0
}

func lookup(f func(string) (string, bool), name string) (string, bool) {
	if f == nil {
		return "", false
	}
	return f(name)
}

type attributeOp uint8

const (
	opUnknown attributeOp = iota
	opDefined
	opNotDefined
	opEqual
	opNotEqual
	opLess
	opLessEqual
	opGreater
	opGreaterEqual
)

const attributeOperations = "defined, not_defined, eq, ne, lt, lte, gt, gte"

func attributeOperation(text string) attributeOp {
	for i, name := range [...]string{"defined", "not_defined", "eq", "ne", "lt", "lte", "gt", "gte"} {
		if strings.EqualFold(text, name) {
			return opDefined + attributeOp(i)
		}
	}
	return opUnknown
}

type valueType uint8

const (
	typeUnknown valueType = iota
	typeString
	typeInteger
	typeNumber
	typeVersion
)

const attributeTypes = "string, integer, number, version"

func attributeType(text string) valueType {
	for i, name := range [...]string{"string", "integer", "number", "version"} {
		if strings.EqualFold(text, name) {
			return typeString + valueType(i)
		}
	}
	return typeUnknown
}

// compare returns the order of two defined values: negative, zero or positive. Numbers that cannot be read
// on either side are compared as strings.
func compare(kind valueType, a, b string) int {
	switch kind {
	case typeInteger:
		x, okX := leadingInteger(a)
		y, okY := leadingInteger(b)
		if okX && okY {
			return order(x < y, x > y)
		}
	case typeNumber:
		x, okX := leadingNumber(a)
		y, okY := leadingNumber(b)
		if okX && okY {
			return order(x < y, x > y)
		}
	case typeVersion:
		return compareVersions(a, b)
	}
	return compareFolded(a, b)
}

func order(less, greater bool) int {
	switch {
	case less:
		return -1
	case greater:
		return 1
	}
	return 0
}

// compareFolded compares bytewise without regard to the case of ASCII letters, as the C library does in the
// C locale.
func compareFolded(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		x, y := lower(a[i]), lower(b[i])
		if x != y {
			return order(x < y, x > y)
		}
	}
	return order(len(a) < len(b), len(a) > len(b))
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// leadingInteger reads an integer from the start of s, ignoring what follows it and clipping what does not
// fit (spec/01-inputs.md section 2.2).
func leadingInteger(s string) (int64, bool) {
	s = strings.TrimLeft(s, " \t\r\n\v\f")
	end := 0
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	start := end
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	if end == start {
		return 0, false
	}
	n, _ := strconv.ParseInt(s[:end], 10, 64) // out of range: the nearest value is returned
	return n, true
}

// leadingNumber reads a decimal number with optional fraction and exponent from the start of s, ignoring what
// follows it.
func leadingNumber(s string) (float64, bool) {
	s = strings.TrimLeft(s, " \t\r\n\v\f")
	end, count := 0, 0
	digits := func() {
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
			count++
		}
	}
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	digits()
	if end < len(s) && s[end] == '.' {
		end++
		digits()
	}
	if count == 0 {
		return 0, false
	}
	if end < len(s) && (s[end] == 'e' || s[end] == 'E') {
		mantissa := end
		end++
		if end < len(s) && (s[end] == '-' || s[end] == '+') {
			end++
		}
		count = 0
		digits()
		if count == 0 {
			end = mantissa
		}
	}
	n, _ := strconv.ParseFloat(s[:end], 64) // out of range: infinity of the right sign is returned
	return n, true
}

// compareVersions compares the dotted numbers at the start of each value part by part; missing parts are 0.
// Numbers of any length are compared without being converted.
func compareVersions(a, b string) int {
	moreA, moreB := true, true
	for moreA || moreB {
		var x, y string
		x, a, moreA = versionPart(a, moreA)
		y, b, moreB = versionPart(b, moreB)
		if len(x) != len(y) {
			return order(len(x) < len(y), len(x) > len(y))
		}
		if x != y {
			return strings.Compare(x, y)
		}
	}
	return 0
}

// versionPart cuts one number, without leading zeros, off s. more says whether another one follows.
func versionPart(s string, present bool) (part, rest string, more bool) {
	if !present {
		return "", "", false
	}
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	part, rest = strings.TrimLeft(s[:end], "0"), s[end:]
	if len(rest) > 1 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9' && end > 0 {
		return part, rest[1:], true
	}
	return part, "", false
}

// Substitute replaces %0 to %9 in text by the submatch of that number; a number without submatch is replaced
// by nothing. Without submatches text stays as it is.
func Substitute(text string, submatches []string) string {
	if len(submatches) == 0 || !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 >= len(text) || text[i+1] < '0' || text[i+1] > '9' {
			b.WriteByte(text[i])
			continue
		}
		i++
		if n := int(text[i] - '0'); n < len(submatches) {
			b.WriteString(submatches[n])
		}
	}
	return b.String()
}

// when reads a date of an expression; "" gives the zero time and no error.
func (e *evaluation) when(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return iso8601.ParseDate(text, e.now, e.in.Zone)
}

func (e *evaluation) date(x *DateExpression) bool {
	op := dateOperation(x.Operation)
	switch op {
	case dateUnknown:
		return e.fail(x.ID, "operation %q is unknown; use %s", x.Operation, dateOperations)
	case dateSpec:
		if x.Spec == nil {
			return e.fail(x.ID, "operation date_spec needs a date_spec element")
		}
		return e.spec(x.Spec)
	}
	start, err := e.when(x.Start)
	if err != nil && op != dateBefore {
		return e.fail(x.ID, "start: %v", err)
	}
	end, err := e.when(x.End)
	if err != nil && op != dateAfter {
		return e.fail(x.ID, "end: %v", err)
	}
	switch op {
	case dateAfter:
		if x.Start == "" {
			return e.fail(x.ID, "start is missing; operation gt compares with it")
		}
		if e.now.After(start) {
			return true
		}
		e.recheck(start.Add(time.Second))
		return false
	case dateBefore:
		if x.End == "" {
			return e.fail(x.ID, "end is missing; operation lt compares with it")
		}
		e.recheck(end)
		return e.now.Before(end)
	}

	hasStart, hasEnd := x.Start != "", x.End != ""
	if !hasEnd && x.Duration != nil {
		if !hasStart {
			return e.fail(x.ID, "start is missing; a duration is counted from it")
		}
		d, err := x.Duration.parse()
		if err != nil {
			return e.fail(x.ID, "duration: %v", err)
		}
		end, hasEnd = d.AddTo(start), true
	}
	switch {
	case !hasStart && !hasEnd:
		return e.fail(x.ID, "start and end are missing; operation in_range needs at least one of them")
	case hasStart && e.now.Before(start):
		e.recheck(start)
		return false
	case hasEnd && e.now.After(end):
		return false
	}
	if hasEnd {
		e.recheck(end.Add(time.Second))
	}
	return true
}

type dateOp uint8

const (
	dateUnknown dateOp = iota
	dateRange
	dateAfter
	dateBefore
	dateSpec
)

const dateOperations = "in_range, gt, lt, date_spec"

func dateOperation(text string) dateOp {
	switch {
	case text == "" || strings.EqualFold(text, "in_range"):
		return dateRange
	case strings.EqualFold(text, "gt"):
		return dateAfter
	case strings.EqualFold(text, "lt"):
		return dateBefore
	case strings.EqualFold(text, "date_spec"):
		return dateSpec
	}
	return dateUnknown
}

// parse reads the fields that were written.
func (d *DateDuration) parse() (iso8601.Duration, error) {
	var out iso8601.Duration
	for _, f := range [...]struct {
		name, text string
		to         *int64
	}{
		{"years", d.Years, &out.Years}, {"months", d.Months, &out.Months}, {"weeks", d.Weeks, &out.Weeks},
		{"days", d.Days, &out.Days}, {"hours", d.Hours, &out.Hours}, {"minutes", d.Minutes, &out.Minutes},
		{"seconds", d.Seconds, &out.Seconds},
	} {
		if f.text == "" {
			continue
		}
		n, err := iso8601.ParseCount(f.text)
		if err != nil {
			return out, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.to = n
	}
	return out, nil
}

// specField is one field of a date_spec: the range as written, its value at a time, and its natural limits.
type specField struct {
	name, text string
	low, high  int64
	value      func(t time.Time) int64
}

func (s *DateSpec) fields() [10]specField {
	return [...]specField{
		{"years", s.Years, 1, 9999, func(t time.Time) int64 { return int64(t.Year()) }},
		{"months", s.Months, 1, 12, func(t time.Time) int64 { return int64(t.Month()) }},
		{"monthdays", s.MonthDays, 1, 31, func(t time.Time) int64 { return int64(t.Day()) }},
		{"hours", s.Hours, 0, 23, func(t time.Time) int64 { return int64(t.Hour()) }},
		{"minutes", s.Minutes, 0, 59, func(t time.Time) int64 { return int64(t.Minute()) }},
		{"seconds", s.Seconds, 0, 59, func(t time.Time) int64 { return int64(t.Second()) }},
		{"yeardays", s.YearDays, 1, 366, func(t time.Time) int64 { return int64(t.YearDay()) }},
		{"weekyears", s.WeekYears, 1, 9999, func(t time.Time) int64 { y, _ := t.ISOWeek(); return int64(y) }},
		{"weeks", s.Weeks, 1, 53, func(t time.Time) int64 { _, w := t.ISOWeek(); return int64(w) }},
		{"weekdays", s.WeekDays, 1, 7, func(t time.Time) int64 { return int64(iso8601.Weekday(t)) }},
	}
}

func (e *evaluation) spec(s *DateSpec) bool {
	for _, f := range s.fields() {
		if f.text == "" {
			continue
		}
		r, err := iso8601.ParseRange(f.text)
		if err != nil {
			return e.fail(s.ID, "%s: %v", f.name, err)
		}
		if !r.Contains(f.value(e.now)) {
			return false
		}
	}
	return true
}

func (e *evaluation) resource(x *ResourceExpression) bool {
	for _, f := range [...]struct {
		has  bool
		want string
		got  func(*Resource) string
	}{
		{x.HasClass, x.Class, func(r *Resource) string { return r.Class }},
		{x.HasProvider, x.Provider, func(r *Resource) string { return r.Provider }},
		{x.HasType, x.Type, func(r *Resource) string { return r.Type }},
	} {
		// Without a resource only an expression that asks for nothing passes.
		if f.has && (e.in.Resource == nil || f.want != f.got(e.in.Resource)) {
			return false
		}
	}
	return true
}

func (e *evaluation) operation(x *OperationExpression) bool {
	if x.Name == "" {
		return e.fail(x.ID, "name is missing; name the operation to compare")
	}
	interval := int64(0)
	if x.Interval != "" {
		var err error
		if interval, err = intervalMS(x.Interval); err != nil {
			return e.fail(x.ID, "interval: %v", err)
		}
	}
	if e.in.Operation == nil || x.Name != e.in.Operation.Name {
		return false
	}
	return x.Interval == "" || interval == e.in.Operation.IntervalMS
}

// maxInterval is the longest interval in milliseconds (spec/01-inputs.md section 2.4).
const maxInterval = 1<<32 - 1

// intervalMS reads an interval in milliseconds (spec/01-inputs.md section 2.4). Other than there, a negative
// or unreadable interval is an error: a condition on it cannot have been meant to match interval 0.
func intervalMS(text string) (int64, error) {
	s := strings.TrimSpace(text)
	if strings.HasPrefix(s, "P") {
		d, err := iso8601.ParseDuration(s)
		if err != nil {
			return 0, err
		}
		secs := d.TotalSeconds()
		if secs < 0 {
			return 0, fmt.Errorf("%q is negative", text)
		}
		return min(secs*1000, maxInterval), nil
	}
	n, ok := leadingInteger(s)
	if !ok || n < 0 {
		return 0, fmt.Errorf("%q is not an interval such as 10s or 5min", text)
	}
	n = min(n, maxInterval)
	unit := strings.TrimLeft(s, "+0123456789")
	if strings.HasPrefix(unit, ".") {
		unit = strings.TrimLeft(unit[1:], "0123456789")
	}
	unit = strings.ToLower(strings.TrimSpace(unit))
	switch {
	case unit == "" || strings.HasPrefix(unit, "s"):
		n *= 1000
	case strings.HasPrefix(unit, "ms"):
	case strings.HasPrefix(unit, "us"):
		n /= 1000
	case strings.HasPrefix(unit, "m"):
		n *= 60_000
	case strings.HasPrefix(unit, "h"):
		n *= 3_600_000
	default:
		return 0, fmt.Errorf("%q has an unknown unit; use us, ms, s, min, h", text)
	}
	return min(n, maxInterval), nil
}
