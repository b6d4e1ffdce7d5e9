// Package billing turns usage into money: meters, price books, the rating of usage, invoices, the price of a single
// call, and the billing clock. It is pure: no I/O but the embedded price books, no time but what it is given.
//
// Usage is integers, prices are decimals, everything between them is exact fractions; binary floating point is
// nowhere. DESIGN.md holds the rules with their sources.
package billing
