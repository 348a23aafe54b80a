SELECT shop, CAST(sum(units) AS BIGINT) AS units, count(*) AS sales FROM rows GROUP BY shop
