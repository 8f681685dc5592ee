package mkeapi

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/problem"
)

const (
	maxRangeDays = 31
	defaultRange = time.Hour
	// defaultPoints are enough for a graph.
	defaultPoints = 240
	leastStep     = 15 * time.Second
	maxNameLength = 253
)

// objectName is what names of nodes, pools, namespaces and pods consist of; nothing of it means anything in PromQL.
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// parse turns what was asked into a query, or names everything that is wrong with it.
func (q *MetricQuery) parse(m catalog.Series, now time.Time) (rangeQuery, error) {
	var l problem.List
	end := parseTime(&l, "end", q.End, now)
	start := parseTime(&l, "start", q.Start, end.Add(-defaultRange))
	length := end.Sub(start)
	if !l.Has("start") && !l.Has("end") && (length <= 0 || length > maxRangeDays*24*time.Hour) {
		l.Add("start", problem.InvalidTimeRange, maxRangeDays)
	}
	r := rangeQuery{expression: q.selector(&l, m), start: start, end: end}
	if l.Has("start") || l.Has("end") {
		return r, l.Err()
	}
	r.step = parseStep(&l, q.Step, length)
	return r, l.Err()
}

func parseTime(l *problem.List, field, value string, otherwise time.Time) time.Time {
	if value == "" {
		return otherwise.Truncate(time.Second)
	}
	if t, err := time.Parse(time.RFC3339, value); err == nil && t.Unix() >= 0 {
		return t.Truncate(time.Second)
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > math.MaxUint32 {
		l.Add(field, problem.InvalidTime)
		return otherwise
	}
	return time.Unix(int64(seconds), 0)
}

func parseStep(l *problem.List, value string, length time.Duration) time.Duration {
	if value == "" {
		return max(leastStep, roundUp(length/defaultPoints))
	}
	least := max(time.Second, roundUp(length/(maxPoints-1)))
	if number, err := strconv.ParseUint(value, 10, 32); err == nil {
		value = strconv.FormatUint(number, 10) + "s"
	}
	step, err := time.ParseDuration(value)
	if err != nil || step < least || step%time.Second != 0 {
		l.Add("step", problem.InvalidStep, least, maxPoints)
	}
	return step
}

func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// selector of the recorded series, for example node:up:min{node="a",pool="b"}.
func (q *MetricQuery) selector(l *problem.List, m catalog.Series) string {
	var matchers []string
	for _, f := range []struct{ label, value string }{{"namespace", q.Namespace}, {"node", q.Node}, {"pod", q.Pod}, {"pool", q.Pool}} {
		switch {
		case f.value == "":
		case !slices.Contains(m.Scope.Labels(), f.label):
			l.Add(f.label, problem.InvalidFilter, m.Scope, orNothing(m.Scope.Labels()))
		case len(f.value) > maxNameLength || !objectName.MatchString(f.value):
			l.Add(f.label, problem.InvalidObjectName)
		default:
			matchers = append(matchers, f.label+"="+strconv.Quote(f.value))
		}
	}
	return m.Rule + "{" + strings.Join(matchers, ",") + "}"
}

func orNothing(labels []string) string {
	if len(labels) == 0 {
		return "-"
	}
	return strings.Join(labels, ", ")
}
