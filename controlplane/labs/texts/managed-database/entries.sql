create table entries (id int primary key, text text not null);
insert into entries select n, 'entry ' || n from generate_series(1, 100) as n;
