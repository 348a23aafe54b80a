SELECT r.at, r.shop, r.units, w.units AS week_units FROM rows r JOIN shop_weekly w ON w.shop = r.shop
