package rule

import (
	"slices"
	"strings"
)

// SpecFields and DurationFields are the fields of a DateSpec and a DateDuration by their names in the XML form, in
// the usual order. "weeks" of a specification are ISO weeks.
var (
	SpecFields = []string{"years", "months", "monthdays", "hours", "minutes", "seconds", "yeardays", "weekyears", "weeks", "weekdays", "moon"}

	DurationFields = []string{"years", "months", "weeks", "days", "hours", "minutes", "seconds"}
)

// Field returns the field of that name, nil where there is none.
func (s *DateSpec) Field(name string) *string {
	switch name {
	case "years":
		return &s.Years
	case "months":
		return &s.Months
	case "monthdays":
		return &s.MonthDays
	case "hours":
		return &s.Hours
	case "minutes":
		return &s.Minutes
	case "seconds":
		return &s.Seconds
	case "yeardays":
		return &s.YearDays
	case "weekyears":
		return &s.WeekYears
	case "weeks":
		return &s.Weeks
	case "weekdays":
		return &s.WeekDays
	case "moon":
		return &s.Moon
	}
	return nil
}

// Field returns the field of that name, nil where there is none.
func (d *DateDuration) Field(name string) *string {
	switch name {
	case "years":
		return &d.Years
	case "months":
		return &d.Months
	case "weeks":
		return &d.Weeks
	case "days":
		return &d.Days
	case "hours":
		return &d.Hours
	case "minutes":
		return &d.Minutes
	case "seconds":
		return &d.Seconds
	}
	return nil
}

// SetOrder keeps the order in which the fields were written.
func (s *DateSpec) SetOrder(names []string) { s.Order = fieldOrder(names, SpecFields) }

// SetOrder keeps the order in which the fields were written.
func (d *DateDuration) SetOrder(names []string) { d.Order = fieldOrder(names, DurationFields) }

// fieldOrder returns names as one text, "" where they stand in the usual order.
func fieldOrder(names, usual []string) string {
	last := 0
	for _, name := range names {
		at := slices.Index(usual, name)
		if at < last {
			return strings.Join(names, " ")
		}
		last = at
	}
	return ""
}

// EachField calls visit for every field that is not empty, in the order in which they were written.
func (s *DateSpec) EachField(visit func(name, value string)) {
	eachField(s.Order, SpecFields, len(SpecFields), s.Field, visit)
}

// EachField calls visit for every field that is not empty, in the order in which they were written; those of Extra
// that have no place in it come last.
func (d *DateDuration) EachField(visit func(name, value string)) {
	names := DurationFields
	for _, x := range d.Extra {
		names = append(names[:len(names):len(names)], x[0])
	}
	eachField(d.Order, names, len(DurationFields), func(name string) *string {
		if f := d.Field(name); f != nil {
			return f
		}
		for i := range d.Extra {
			if d.Extra[i][0] == name {
				return &d.Extra[i][1]
			}
		}
		return nil
	}, visit)
}

// eachField visits the fields of order, then those of usual. Of the first known ones of usual, which are fields of the
// model, empty ones are left out.
func eachField(order string, usual []string, known int, field func(string) *string, visit func(name, value string)) {
	seen := make(map[string]bool, len(usual))
	for _, name := range append(strings.Fields(order), usual...) {
		if f := field(name); f != nil && (*f != "" || !slices.Contains(usual[:known], name)) && !seen[name] {
			seen[name] = true
			visit(name, *f)
		}
	}
}
