-- What the shop opens with.
copy products (sku, name, cents) from stdin;
TEA	Green tea, 100 g	790
POT	Teapot	2450
CUP	Cup	600
TIN	Tea tin; airtight	1150
RARE	Dragon well, first flush	8900
\.

insert into stock (product_id, on_hand)
select id, case sku when 'RARE' then 5 else 100 end from products;

insert into customers (email, name) values
    ('ada@example.com', 'Ada'),
    ('grace@example.com', 'Grace'),
    ('edsger@example.com', 'Edsger');

insert into coupons values ('SPRING', 10, 3), ('ONCE', 50, 1);
