package generate

import "fmt"

func (g *random) score() string {
	return g.pick("-INFINITY", "-100", "-1", "1", "50", "200", "INFINITY", "INFINITY")
}

func (g *random) constraint() {
	i, j := g.n(len(g.tops)), g.n(len(g.tops))
	if i < j && g.chance(85) {
		i, j = j, i // most documents have no circles
	}
	a, b := g.tops[i], g.tops[j]
	kind := g.pick("location", "colocation", "order")
	if kind == "colocation" && (a.id[0] == 'c' || b.id[0] == 'c') && !g.is("clones", "promotable") && !g.chance(25) {
		kind = "order" // the other rules of clones come to light when colocations do not hide them
	}
	if a.id == b.id {
		kind = "location"
	}
	id := g.id("k")
	role := func(t top, name string) string {
		if t.promotable && g.chance(60) {
			return fmt.Sprintf(` %s="%s"`, name, g.pick("Promoted", "Promoted", "Unpromoted", "Started"))
		}
		return ""
	}
	text := ""
	switch kind {
	case "location":
		if g.is("rules") || g.chance(15) {
			text = fmt.Sprintf(`<rsc_location id="%s" rsc="%s">%s</rsc_location>`, id, a.id, g.rule(true, fmt.Sprintf(` score="%s"`, g.score())+role(a, "role")))
			break
		}
		discovery := ""
		if g.chance(10) {
			discovery = fmt.Sprintf(` resource-discovery="%s"`, g.pick("never", "exclusive", "always"))
		}
		text = fmt.Sprintf(`<rsc_location id="%s" rsc="%s" node="%s" score="%s"%s%s/>`, id, a.id, g.anyNode(), g.score(), role(a, "role"), discovery)
	case "colocation":
		extra, score := "", g.score()
		if b.id[0] == 'c' && !g.chance(15) {
			score = g.pick("INFINITY", "INFINITY", "-INFINITY")
		}
		if g.chance(10) {
			extra = fmt.Sprintf(` influence="%s"`, g.pick("true", "false"))
		}
		if g.chance(10) {
			extra += ` node-attribute="rack"`
		}
		text = fmt.Sprintf(`<rsc_colocation id="%s" rsc="%s" with-rsc="%s" score="%s"%s%s%s/>`, id, a.id, b.id, score, role(a, "rsc-role"), role(b, "with-rsc-role"), extra)
	case "order":
		if i > j {
			a, b = b, a
		}
		extra := ""
		if g.chance(50) {
			extra = fmt.Sprintf(` kind="%s"`, g.pick("Mandatory", "Optional", "Serialize"))
		}
		if g.chance(15) {
			extra += ` symmetrical="false"`
		}
		if g.chance(10) {
			extra += ` require-all="false"`
		}
		if a.promotable && g.chance(50) {
			extra += fmt.Sprintf(` first-action="%s"`, g.pick("promote", "demote"))
			if !b.promotable || g.chance(50) {
				extra += ` then-action="start"`
			}
		} else if g.chance(8) {
			extra += fmt.Sprintf(` first-action="stop" then-action="%s"`, g.pick("start", "stop"))
		}
		text = fmt.Sprintf(`<rsc_order id="%s" first="%s" then="%s"%s/>`, id, a.id, b.id, extra)
	}
	g.constraints = append(g.constraints, text)
}

func (g *random) anyNode() string {
	all := append(append([]string{}, g.nodes...), g.guests...)
	return all[g.n(len(all))]
}

// rule returns a rule; attributes may be node attributes only where the place allows them.
func (g *random) rule(node bool, extra string) string {
	text := ""
	for range 1 + g.n(2) {
		id := g.id("e")
		if node && g.chance(65) {
			switch g.n(4) {
			case 0:
				text += fmt.Sprintf(`<expression id="%s" attribute="#uname" operation="%s" value="%s"/>`, id, g.pick("eq", "ne"), g.anyNode())
			case 1:
				text += fmt.Sprintf(`<expression id="%s" attribute="rack" operation="%s"/>`, id, g.pick("defined", "not_defined"))
			case 2:
				text += fmt.Sprintf(`<expression id="%s" attribute="load" operation="%s" value="%s"%s/>`, id, g.pick("lt", "lte", "gt", "gte", "eq", "ne"), g.pick("5", "10", "5.5", "x"), g.pick("", ` type="number"`, ` type="version"`, ` type="string"`))
			case 3:
				text += fmt.Sprintf(`<expression id="%s" attribute="#kind" operation="%s" value="%s"/>`, id, g.pick("eq", "ne"), g.pick("cluster", "remote", "container"))
			}
			continue
		}
		switch g.n(4) {
		case 0:
			text += fmt.Sprintf(`<date_expression id="%s" operation="gt" start="%s"/>`, id, g.pick("2023-11-14", "2023-11-14 22:30:01Z", "2023-11-15", "2024-001"))
		case 1:
			text += fmt.Sprintf(`<date_expression id="%s" operation="in_range" start="%s"><duration id="%[1]s-d" %[3]s="%[4]d"/></date_expression>`, id, g.pick("2023-11-01", "2023-10-31", "2020-02-29"), g.pick("days", "months", "years", "hours"), 1+g.n(20))
		case 2:
			text += fmt.Sprintf(`<date_expression id="%s" operation="date_spec"><date_spec id="%[1]s-s" %[2]s="%[3]s"/></date_expression>`, id, g.pick("hours", "weekdays", "monthdays", "weeks", "yeardays"), g.pick("1-5", "10-23", "2", "22", "300-"))
		default:
			text += fmt.Sprintf(`<date_expression id="%s" operation="lt" end="%s"/>`, id, g.pick("2023-11-14 22:30:00Z", "2023-11-20", "2022-W51-3"))
		}
	}
	return fmt.Sprintf(`<rule id="%s" boolean-op="%s"%s>%s</rule>`, g.id("r"), g.pick("and", "or"), extra, text)
}

func (g *random) ruledMeta() string {
	if !g.is("rules") {
		return ""
	}
	return fmt.Sprintf(`<meta_attributes id="%s" score="%d">%s%s</meta_attributes>`, g.id("ma"), g.n(5), g.rule(false, ""),
		g.nv(g.pick("resource-stickiness", "migration-threshold", "priority"), g.pick("2", "7")))
}

func (g *random) set() {
	members := func() string {
		var list []string
		seen := map[string]bool{}
		for range 1 + g.n(3) {
			t := g.tops[g.n(len(g.tops))]
			if !seen[t.id] {
				seen[t.id] = true
				list = append(list, fmt.Sprintf(`<resource_ref id="%s"/>`, t.id))
			}
		}
		text := ""
		for _, s := range list {
			text += s
		}
		return text
	}
	sets, order := "", g.chance(60)
	for range 1 + g.n(2) {
		extra := ""
		if g.chance(50) {
			extra += fmt.Sprintf(` sequential="%s"`, g.pick("true", "false"))
		}
		if order && g.chance(30) {
			extra += fmt.Sprintf(` require-all="%s"`, g.pick("true", "false"))
		}
		if g.chance(20) && order {
			extra += fmt.Sprintf(` action="%s"`, g.pick("start", "promote", "stop"))
		}
		if g.chance(15) && !order {
			extra += fmt.Sprintf(` role="%s"`, g.pick("Promoted", "Started"))
		}
		sets += fmt.Sprintf(`<resource_set id="%s"%s>%s</resource_set>`, g.id("set"), extra, members())
	}
	if order {
		g.constraints = append(g.constraints, fmt.Sprintf(`<rsc_order id="%s" kind="%s">%s</rsc_order>`, g.id("k"), g.pick("Mandatory", "Optional", "Serialize"), sets))
		return
	}
	g.constraints = append(g.constraints, fmt.Sprintf(`<rsc_colocation id="%s" score="%s">%s</rsc_colocation>`, g.id("k"), g.score(), sets))
}

func (g *random) ticket() {
	t := g.tops[g.n(len(g.tops))]
	name := g.pick("ticketA", "ticketB")
	role := ""
	if t.promotable {
		role = g.pick("", ` rsc-role="Promoted"`, ` rsc-role="Started"`)
	}
	g.constraints = append(g.constraints, fmt.Sprintf(`<rsc_ticket id="%s" rsc="%s" ticket="%s" loss-policy="%s"%s/>`, g.id("k"), t.id, name, g.pick("stop", "demote", "fence", "freeze"), role))
	if len(g.tickets) == 0 && g.chance(80) {
		g.tickets = append(g.tickets, fmt.Sprintf(`<ticket_state id="%s" granted="%s"%s/>`, name, g.pick("true", "false"), g.pick("", ` standby="true"`, ` last-granted="1600000000"`)))
	}
}
