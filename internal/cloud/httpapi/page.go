package httpapi

import (
	"net/http"
	"net/url"
	"strconv"
)

// Page is the part of a list that was asked for.
type Page struct{ Limit, Offset int }

const maxInt = 1<<31 - 1

// ParsePage reads the parameters _limit and _offset. A limit above max is refused.
func ParsePage(r *http.Request, defaultLimit, max int) (Page, error) {
	limit, err := IntParam(r, "_limit", "how many items to answer at most", defaultLimit, 1, max)
	if err != nil {
		return Page{}, err
	}
	offset, err := IntParam(r, "_offset", "how many items to leave out at the beginning", 0, 0, maxInt)
	return Page{Limit: limit, Offset: offset}, err
}

// ParseNumberedPage reads parameters of pages that are counted from 1.
func ParseNumberedPage(r *http.Request, number, size string, defaultSize, max int) (Page, error) {
	limit, err := IntParam(r, size, "how many items a page has", defaultSize, 1, max)
	if err != nil {
		return Page{}, err
	}
	n, err := IntParam(r, number, "which page, counted from 1", 1, 1, maxInt)
	return Page{Limit: limit, Offset: (n - 1) * limit}, err
}

// Slice returns the page's part of items; never nil, so that it encodes as a list.
func Slice[T any](items []T, page Page) []T {
	start := min(page.Offset, len(items))
	end := min(start+page.Limit, len(items))
	return append([]T{}, items[start:end]...)
}

// Links are where this page, the next and the previous one are; empty: there is none.
type Links struct {
	Previous string `json:"previous"`
	Next     string `json:"next"`
	Self     string `json:"self"`
}

// PageLinks keeps the request's other parameters, such as filters and order.
func PageLinks(r *http.Request, page Page, total int) Links {
	return links(r, page, total, func(query url.Values, offset int) {
		query.Set("_offset", strconv.Itoa(offset))
		query.Set("_limit", strconv.Itoa(page.Limit))
	})
}

// NumberedPageLinks is PageLinks for pages that are counted from 1.
func NumberedPageLinks(r *http.Request, number, size string, page Page, total int) Links {
	return links(r, page, total, func(query url.Values, offset int) {
		query.Set(number, strconv.Itoa(offset/page.Limit+1))
		query.Set(size, strconv.Itoa(page.Limit))
	})
}

func links(r *http.Request, page Page, total int, set func(query url.Values, offset int)) Links {
	at := func(offset int) string {
		query := r.URL.Query()
		set(query, offset)
		return (&url.URL{Path: r.URL.Path, RawQuery: query.Encode()}).String()
	}
	l := Links{Self: r.URL.RequestURI()}
	if next := page.Offset + page.Limit; next < total {
		l.Next = at(next)
	}
	if page.Offset > 0 {
		l.Previous = at(max(page.Offset-page.Limit, 0))
	}
	return l
}
