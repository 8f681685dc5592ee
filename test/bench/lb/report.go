package main

import (
	"fmt"
	"io"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

// measured is one round.
type measured struct {
	status, answered time.Duration // from the Service's creation to the address in its status, and to the first answer
	floor, balanced  loaded
}

func (m measured) String() string {
	return fmt.Sprintf("address after %.2f s, answer after %.2f s; node ports %.0f/s p50 %.2f ms p99 %.2f ms; load balancer %.0f/s p50 %.2f ms p99 %.2f ms",
		m.status.Seconds(), m.answered.Seconds(), m.floor.perSecond, ms(m.floor.p50), ms(m.floor.p99), m.balanced.perSecond, ms(m.balanced.p50), ms(m.balanced.p99))
}

type report []measured

func (r report) print(w io.Writer) {
	answered := benchsite.Median(r, func(m measured) float64 { return m.answered.Seconds() })
	status := benchsite.Median(r, func(m measured) float64 { return m.status.Seconds() })
	floor := benchsite.Median(r, func(m measured) float64 { return m.floor.perSecond })
	balanced := benchsite.Median(r, func(m measured) float64 { return m.balanced.perSecond })
	ratio := benchsite.Median(r, func(m measured) float64 { return m.balanced.perSecond / m.floor.perSecond })
	floor99 := benchsite.Median(r, func(m measured) float64 { return ms(m.floor.p99) })
	balanced99 := benchsite.Median(r, func(m measured) float64 { return ms(m.balanced.p99) })
	ratio99 := benchsite.Median(r, func(m measured) float64 { return ms(m.balanced.p99) / ms(m.floor.p99) })
	fmt.Fprintf(w, "\nMedians of %d rounds; ratios are taken within a round\n", len(r))
	fmt.Fprintf(w, "RESULT lb_create first_answer_s=%.2f address_s=%.2f rounds=%d\n", answered, status, len(r))
	fmt.Fprintf(w, "RESULT lb_requests ratio=%.2f per_s=%.0f floor_per_s=%.0f rounds=%d\n", ratio, balanced, floor, len(r))
	fmt.Fprintf(w, "RESULT lb_p99 ratio=%.2f ms=%.2f floor_ms=%.2f rounds=%d\n", ratio99, balanced99, floor99, len(r))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
