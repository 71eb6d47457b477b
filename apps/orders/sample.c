/* SPDX-License-Identifier: MIT */
#include "sample.h"

/* clang-format off */
#define LINE(sku, quantity, cents) "{\"sku\":\"" sku "\",\"quantity\":" #quantity ",\"unit_cents\":" #cents "}"
#define ORDER(id, customer, currency, lines, rest)                                                                     \
    "{\"order_id\":\"" id "\",\"customer\":\"" customer "\",\"currency\":\"" currency "\","                            \
    "\"lines\":[" lines "]" rest "}\n"
#define COUPON(code) ",\"coupon\":\"" code "\""

const char sample_orders[] =
    ORDER("ORD-001", "ada@example.com", "USD", LINE("TEA-1", 2, 1250), COUPON("WELCOME10"))
    ORDER("ORD-002", "grace@example.com", "USD", LINE("CUP-4", 4, 899) "," LINE("TEA-2", 1, 1575), "")
    ORDER("ORD-003", "edsger@example.org", "EUR", LINE("POT-1", 1, 4990), "")
    ORDER("ORD-004", "barbara@example.com", "USD", LINE("TEA-1", 12, 1250), "")
    ORDER("ORD-005", "donald@example.edu", "USD", LINE("POT-2", 2, 6495) "," LINE("CUP-4", 6, 899), "")
    ORDER("ORD-006", "frances@example.com", "GBP", LINE("TEA-3", 3, 1825), COUPON("WELCOME10"))
    ORDER("ORD-007", "tony@example.org", "GBP", LINE("TEA-1", 10, 1250) "," LINE("TIN-1", 10, 350), COUPON("WELCOME10"))
    ORDER("ORD-008", "margaret@example.com", "USD", LINE("SET-1", 1, 12999), "")
    ORDER("ORD-009", "niklaus@example.ch", "CHF", LINE("TEA-2", 2, 1575), COUPON("SPRING"))
    ORDER("ORD-010", "radia@example.net", "USD", LINE("TEA-1", 1, 1250) "," LINE("FILTER-100", 1, 495), "");
/* clang-format on */
