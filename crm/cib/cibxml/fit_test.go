package cibxml

import (
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

// fit brings a drawn value into the shape that the form can say: a condition has exactly one kind, only the
// fields of a constraint's own kind are used, names of further attributes are not repeated.
func fit(p any) {
	switch x := p.(type) {
	case *rule.DateSpec:
		x.Order = ""
	case *rule.DateDuration:
		x.Order = ""
		if len(x.Extra) > 1 {
			x.Extra = x.Extra[:1]
		}
		for i := range x.Extra {
			x.Extra[i][0] = "term"
		}
	case *cib.NVPair:
		if x.NoValue {
			x.Value = ""
		}
	case *rule.Condition:
		switch {
		case x.Rule != nil:
			*x = rule.Condition{Rule: x.Rule}
		case x.Date != nil:
			*x = rule.Condition{Date: x.Date}
		case x.Resource != nil:
			*x = rule.Condition{Resource: x.Resource}
		case x.Operation != nil:
			*x = rule.Condition{Operation: x.Operation}
		case x.Attribute == nil:
			x.Attribute = &rule.AttributeExpression{}
		}
	case *rule.AttributeExpression:
		if !x.HasValue {
			x.Value = ""
		}
	case *rule.ResourceExpression:
		if !x.HasClass {
			x.Class = ""
		}
		if !x.HasProvider {
			x.Provider = ""
		}
		if !x.HasType {
			x.Type = ""
		}
	case *[]cib.Attr:
		seen := map[string]bool{}
		*x = slices.DeleteFunc(*x, func(a cib.Attr) bool {
			again := seen[a.Name]
			seen[a.Name] = true
			return again
		})
		if len(*x) == 0 {
			*x = nil
		}
	case *[]string:
		for i := range *x {
			(*x)[i] = strings.Map(func(r rune) rune {
				if r < ' ' || r == ',' {
					return '.'
				}
				return r
			}, "n"+strings.TrimSpace((*x)[i]))
		}
	case *cib.Resource:
		agent := x.Kind == cib.Primitive || x.Kind == cib.Template
		if !agent {
			x.Class, x.Provider, x.Type, x.Template, x.Operations = "", "", "", "", cib.Operations{}
		} else {
			x.Members = nil
		}
		if x.Kind != cib.Primitive {
			x.Template = ""
		}
		x.LegacyMaster = x.LegacyMaster && x.Kind == cib.Clone
		for _, m := range x.Members {
			if m.Kind == cib.Template {
				m.Kind = cib.Primitive
				fit(m)
			}
		}
		for i := range x.Unknown {
			// Unknown elements of a resource stand in its own element.
			x.Unknown[i].Parent = ""
		}
		if x.Kind == cib.Bundle {
			if x.Bundle == nil {
				x.Bundle = &cib.BundleSpec{}
			}
			fit(x.Bundle)
		} else {
			x.Bundle = nil
		}
	case *cib.BundleSpec:
		if x.Engine != "" {
			x.Engine = "podman"
		} else {
			x.Attributes = nil
		}
		if !x.HasNetwork {
			x.Network, x.Ports = nil, nil
		}
		if !x.HasStorage {
			x.Storage = nil
		}
	case *cib.Constraint:
		kept := cib.Constraint{Kind: x.Kind, Sets: x.Sets, Lifetime: x.Lifetime, Comments: x.Comments, Extra: x.Extra}
		if x.Kind == cib.Location {
			kept.Rules = x.Rules
		}
		for _, name := range constraintNames[x.Kind] {
			*constraintField(&kept, name) = *constraintField(x, name)
		}
		*x = kept
	case *cib.ACLPermission:
		if x.Legacy {
			x.Kind = "deny"
		}
	case *cib.AlertSelect:
		if !x.AttributesOn {
			x.Attributes = nil
		}
	case *cib.NodeState:
		x.HasHistory = x.HasHistory || len(x.History) > 0
	case *cib.Head:
		for i := range x.Extra {
			x.Extra[i].Name += "-head"
		}
	case *cib.Document:
		unknowns := func(list []cib.Unknown, parent string) {
			for i := range list {
				list[i].Parent = parent
			}
		}
		unknowns(x.Config.Extra, "configuration")
		unknowns(x.Status.Extra, "status")
	}
}
