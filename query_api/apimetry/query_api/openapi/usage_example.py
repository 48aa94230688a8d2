"""The developer usage API's sample answer, with its arithmetic put right."""

from __future__ import annotations

from apimetry.query_api.http.json_values import Json

_RATES: Json = {"requestsPerMinute": 10.7, "requestsPerHour": 642.5, "requestsPerDay": 15420.0}

USAGE: Json = {
    "success": True,
    "usage": {
        "totalRequests": 15420,
        "successfulRequests": 15080,
        "failedRequests": 340,
        "successRate": 97.8,
        "averageLatency": 265.8,
        "peakLatency": 1250.0,
        **_RATES,
        "peakRequestsPerMinute": 25,
        "peakRequestsPerHour": 1200,
        "dataTransferred": 125000000,
        "averageDataPerRequest": 8106,
    },
    "timeSeries": [
        {
            "timestamp": "2024-01-20T14:00:00Z",
            "requests": 15,
            "successfulRequests": 14,
            "failedRequests": 1,
            "averageLatency": 230.5,
            "peakLatency": 450.0,
            "dataTransferred": 125000,
        },
    ],
    "breakdown": {
        "byEndpoint": [
            {
                "endpoint": "/v1/scores/{identity}",
                "requests": 8500,
                "successRate": 98.5,
                "averageLatency": 180.0,
                "dataTransferred": 68000000,
                "errors": 128,
                "p50": 140.2,
                "p95": 410.0,
                "p99": 800.7,
            },
        ],
        "byMethod": [
            {"method": "GET", "requests": 14200, "percentage": 92.1},
            {"method": "POST", "requests": 1220, "percentage": 7.9},
        ],
        "byStatusCode": [
            {"statusCode": 200, "requests": 15080, "percentage": 97.8},
            {"statusCode": 429, "requests": 200, "percentage": 1.3},
            {"statusCode": 500, "requests": 140, "percentage": 0.9},
        ],
        "byKey": [
            {"keyId": "key_1234567890abcdef", "requests": 12000, "percentage": 77.8},
            {"keyId": "key_abcdef1234567890", "requests": 3420, "percentage": 22.2},
        ],
    },
    "errors": {
        "totalErrors": 340,
        "errorRate": 2.2,
        "byType": [
            {"type": "rate_limit_exceeded", "count": 200, "percentage": 58.8, "description": "Rate limit exceeded"},
            {"type": "server_error", "count": 140, "percentage": 41.2, "description": "Internal server error"},
        ],
        "byEndpoint": [{"endpoint": "/v1/scores/{identity}", "errors": 128, "percentage": 37.6}],
        "byStatusCode": [
            {"statusCode": 429, "count": 200, "percentage": 58.8},
            {"statusCode": 500, "count": 140, "percentage": 41.2},
        ],
    },
    "granularity": "hour",
    "rateLimits": {
        "current": {"requestsPerMinute": 100, "requestsPerHour": 1000, "requestsPerDay": 10000},
        "usage": _RATES,
        "utilization": {"requestsPerMinute": 10.7, "requestsPerHour": 64.25, "requestsPerDay": 154.2},
    },
    "alerts": [
        {
            "type": "rate_limit_approaching",
            "message": "Daily rate limit is 154.2% utilized",
            "priority": "high",
            "recommendation": "Consider upgrading your plan or optimizing requests",
        },
        {
            "type": "error_rate_high",
            "message": "Error rate is 2.2%, above recommended 1%",
            "priority": "medium",
            "recommendation": "Review error patterns and implement retry logic",
        },
    ],
    "pagination": {"total": 25, "limit": 1, "offset": 23, "hasMore": True},
    "timestamp": "2024-01-20T15:45:00Z",
}

INSIGHTS: Json = {
    "success": True,
    "insights": {
        "overview": {"totalRequests": 15420, "successRate": 97.8, "averageLatency": 265.8, "peakRequests": 25},
        "trends": {
            "requestsPerHour": {
                "trend": "increasing",
                "changePercent": 25.0,
                "firstHalf": 571.1,
                "secondHalf": 713.9,
            },
            "latency": {"trend": "stable", "changePercent": -2.0, "firstHalf": 268.8, "secondHalf": 263.4},
            "errorsPerHour": {"trend": "stable", "changePercent": 0.0, "firstHalf": 14.2, "secondHalf": 14.2},
        },
        "bottlenecks": [
            {
                "type": "high_error_rate",
                "endpoint": "/v1/identity/{identity}",
                "successRate": 94.8,
                "recommendation": "Investigate and fix errors in this endpoint",
            },
            {
                "type": "rate_limit_approaching",
                "utilization": 154.2,
                "recommendation": "Consider upgrading your plan or optimizing requests",
            },
        ],
        "alerts": USAGE["alerts"],
        "costs": {
            "prices": {"perRequest": 0.001, "perByte": 0.000001},
            "current": {"requests": 15.42, "data": 125.0, "total": 140.42},
            "projected": {
                "monthlyGrowthPercent": 25.0,
                "nextMonth": 5265.75,
                "nextQuarter": 8227.7344,
                "nextYear": 61301.4412,
            },
            "savings": {"failedRequests": 0.34, "cacheableRequests": 8.5},
        },
        "capacity": {
            "current": {"requests": 15420, "latency": 265.8, "errors": 340},
            "projected": {"requests": 19275, "latency": 265.8, "errors": 340},
            "utilization": {"requestsPerMinute": 10.7, "requestsPerHour": 64.25, "requestsPerDay": 154.2},
            "projectedUtilization": {"requestsPerMinute": 13.38, "requestsPerHour": 80.31, "requestsPerDay": 192.75},
        },
        "optimization": {
            "caching": [
                {
                    "endpoint": "/v1/scores/{identity}",
                    "requests": 8500,
                    "averageLatency": 180.0,
                    "timePercentage": 37.3,
                    "recommendation": "Cache answers of this endpoint, or let clients cache them",
                }
            ],
            "batching": [
                {
                    "keyId": "key_1234567890abcdef",
                    "endpoint": "/v1/scores/{identity}",
                    "requests": 4000,
                    "requestsPerActiveMinute": 44.4,
                    "averageLatency": 180.0,
                    "recommendation": "Offer this consumer a request for many items at once",
                }
            ],
            "rateLimiting": [
                {
                    "limit": "requestsPerHour",
                    "configured": 1000,
                    "peak": 1200,
                    "recommendation": "Spread requests more evenly, or raise the limit",
                }
            ],
        },
        "recommendations": [
            {
                "type": "rate_limit_approaching",
                "priority": "high",
                "action": "upgrade_plan",
                "message": "Consider upgrading your plan or optimizing requests",
            },
            {
                "type": "caching",
                "priority": "low",
                "action": "add_caching",
                "message": "Cache the endpoints that take the most time to read",
            },
        ],
    },
    "timestamp": "2024-01-20T15:45:00Z",
}
