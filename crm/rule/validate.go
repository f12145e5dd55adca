package rule

import (
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/rule/iso8601"
)

// maxProblems bounds the problems that one validation names: nobody reads more of them at once.
const maxProblems = 100

// Validate names everything in r that Evaluate could not use or that can never pass, in document order, at
// most a hundred problems. Dates without offset are checked in UTC. An empty result means that r is sound.
func Validate(r *Rule) []Problem {
	v := validation{}
	v.rule(r, 1)
	return v.problems
}

type validation struct{ problems []Problem }

func (v *validation) add(id, format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, Problem{ID: id, Text: fmt.Sprintf(format, args...)})
	}
}

// isScore reports whether text is a whole number, INFINITY, either with a sign, or a colour. No number is too large.
func isScore(text string) bool {
	switch strings.ToLower(text) {
	case "red", "yellow", "green":
		return true
	}
	digits := text
	if strings.HasPrefix(text, "+") || strings.HasPrefix(text, "-") {
		digits = text[1:]
	}
	return digits == "INFINITY" || digits != "" && strings.Trim(digits, "0123456789") == ""
}

func (v *validation) rule(r *Rule, depth int) {
	if depth > MaxDepth {
		v.add(r.ID, "rules are nested more than %d deep", MaxDepth)
		return
	}
	if r.IDRef != "" {
		if len(r.Conditions) > 0 {
			v.add(r.ID, "has both id-ref %q and conditions of its own; write one of them", r.IDRef)
		}
		return
	}
	if r.BooleanOp != "" && !strings.EqualFold(r.BooleanOp, "and") && !strings.EqualFold(r.BooleanOp, "or") {
		v.add(r.ID, "boolean-op %q is unknown; use and, or", r.BooleanOp)
	}
	if r.Score != "" && r.ScoreAttribute != "" {
		v.add(r.ID, "has both score and score-attribute; write one of them")
	}
	if r.Score != "" && !isScore(r.Score) {
		v.add(r.ID, "score %q is no score; use a whole number, INFINITY or -INFINITY", r.Score)
	}
	switch strings.ToLower(r.Role) {
	case "", "stopped", "started", "unpromoted", "slave", "promoted", "master":
	default:
		v.add(r.ID, "role %q is unknown; use Stopped, Started, Unpromoted, Promoted", r.Role)
	}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		switch {
		case c.Rule != nil:
			v.rule(c.Rule, depth+1)
		case c.Attribute != nil:
			v.attribute(c.Attribute)
		case c.Date != nil:
			v.date(c.Date)
		case c.Resource != nil:
			v.resource(c.Resource)
		case c.Operation != nil:
			v.operation(c.Operation)
		default:
			v.add(r.ID, "has an empty condition")
		}
	}
}

func (v *validation) attribute(x *AttributeExpression) {
	if x.Attribute == "" {
		v.add(x.ID, "attribute is missing; name the node attribute to compare")
	}
	switch op := attributeOperation(x.Operation); {
	case op == opUnknown:
		v.add(x.ID, "operation %q is unknown; use %s", x.Operation, attributeOperations)
	case (op == opDefined || op == opNotDefined) && x.HasValue:
		v.add(x.ID, "operation %s takes no value", x.Operation)
	case op != opDefined && op != opNotDefined && !x.HasValue:
		v.add(x.ID, "value is missing; operation %s compares with a value", x.Operation)
	}
	literal := x.ValueSource == "" || strings.EqualFold(x.ValueSource, "literal")
	if !literal && !strings.EqualFold(x.ValueSource, "param") && !strings.EqualFold(x.ValueSource, "meta") {
		v.add(x.ID, "value-source %q is unknown; use literal, param, meta", x.ValueSource)
	}
	kind := attributeType(x.Type)
	if x.Type != "" && kind == typeUnknown {
		v.add(x.ID, "type %q is unknown; use %s", x.Type, attributeTypes)
	}
	if !literal || !x.HasValue {
		return
	}
	ok := true
	switch kind {
	case typeInteger:
		_, ok = leadingInteger(x.Value)
	case typeNumber:
		_, ok = leadingNumber(x.Value)
	case typeVersion:
		ok = x.Value != "" && x.Value[0] >= '0' && x.Value[0] <= '9'
	}
	if !ok {
		v.add(x.ID, "value %q is no %s", x.Value, strings.ToLower(x.Type))
	}
}

func (v *validation) when(id, name, text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, false
	}
	t, err := iso8601.ParseDate(text, time.Unix(0, 0), time.UTC)
	if err != nil {
		v.add(id, "%s: %v", name, err)
		return time.Time{}, false
	}
	return t, true
}

func (v *validation) date(x *DateExpression) {
	start, startOK := v.when(x.ID, "start", x.Start)
	end, endOK := v.when(x.ID, "end", x.End)
	if x.Duration != nil {
		if _, err := x.Duration.parse(); err != nil {
			v.add(x.ID, "duration: %v", err)
		}
	}
	if x.Spec != nil {
		v.spec(x.Spec)
	}
	switch dateOperation(x.Operation) {
	case dateUnknown:
		v.add(x.ID, "operation %q is unknown; use %s", x.Operation, dateOperations)
	case dateAfter:
		if x.Start == "" {
			v.add(x.ID, "start is missing; operation gt compares with it")
		}
	case dateBefore:
		if x.End == "" {
			v.add(x.ID, "end is missing; operation lt compares with it")
		}
	case dateSpec:
		if x.Spec == nil {
			v.add(x.ID, "operation date_spec needs a date_spec element")
		}
	case dateRange:
		switch {
		case x.Start == "" && x.End == "" && x.Duration == nil:
			v.add(x.ID, "start and end are missing; operation in_range needs at least one of them")
		case x.Start == "" && x.End == "":
			v.add(x.ID, "start is missing; a duration is counted from it")
		case x.End != "" && x.Duration != nil:
			v.add(x.ID, "has both end and a duration; write one of them")
		case startOK && endOK && end.Before(start):
			v.add(x.ID, "end %q is before start %q, so it never passes", x.End, x.Start)
		}
	}
}

func (v *validation) spec(s *DateSpec) {
	for _, f := range s.fields() {
		if f.text == "" {
			continue
		}
		r, err := iso8601.ParseRange(f.text)
		switch {
		case err != nil:
			v.add(s.ID, "%s: %v", f.name, err)
		case r.Empty():
			v.add(s.ID, "%s %q starts after its end, so it never passes", f.name, f.text)
		case r.HasLow && r.Low > f.high, r.HasHigh && r.High < f.low:
			v.add(s.ID, "%s %q is outside %d-%d, so it never passes", f.name, f.text, f.low, f.high)
		}
	}
	if s.Moon != "" {
		v.add(s.ID, "moon is not supported and has no effect")
	}
}

func (v *validation) resource(x *ResourceExpression) {
	if !x.HasClass && !x.HasProvider && !x.HasType {
		v.add(x.ID, "names no class, provider or type, so it always passes")
	}
}

func (v *validation) operation(x *OperationExpression) {
	if x.Name == "" {
		v.add(x.ID, "name is missing; name the operation to compare")
	}
	if x.Interval != "" {
		if _, err := intervalMS(x.Interval); err != nil {
			v.add(x.ID, "interval: %v", err)
		}
	}
}
